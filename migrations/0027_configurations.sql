-- Which configuration of a job a run polled, and one place for the firings of a relay.

-- Counts the job's configurations. The api adds one with each change, and with the end of a pause. A poller reads it with
-- the job, and records the result of a run of an earlier configuration without a back-off: it belongs to what is no longer
-- polled.
alter table polling_jobs add column configuration int4 not null default 0;

-- As in 0017, with the configuration. The firings of a relay are on the relay alone: to write them on each of its jobs would
-- lock all of them once a minute.
create or replace view polling_job_states as
select job.job_id,
       job.symbols,
       job.provider,
       job.interval_seconds,
       job.created_at,
       job.start_at,
       greatest(job.last_firing_at, relay.last_firing_at) as last_firing_at,
       job.consecutive_failures,
       job.backing_off_until,
       run.tick_time as run_tick_time,
       run.status as run_status,
       run.published as run_published,
       run.failed as run_failed,
       run.error as run_error,
       deadline.overdue_at,
       job.paused_at,
       job.active_since,
       job.backing_off_since,
       run.unchanged as run_unchanged,
       job.market_hours,
       job.closed_markets::text as closed_markets,
       job.closed_until,
       job.configuration
from polling_jobs job
join polling_job_deadlines deadline using (job_id)
left join relays relay on relay.relay_id = job.relay_id and job.interval_seconds % 60 <> 0
left join lateral (
    select tick_time, status, published, unchanged, failed, error
    from polling_runs
    where polling_runs.job_id = job.job_id and status in ('succeeded', 'partial', 'failed', 'abandoned')
    order by tick_time desc
    limit 1
) run on true;
