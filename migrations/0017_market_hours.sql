-- Jobs that are polled only while markets are open.

alter table polling_jobs
    -- Whether symbols whose market is closed are left out. The api writes it.
    add column market_hours boolean not null default false,
    -- The symbols that are left out because their market is closed, each with the time (RFC 3339) at which it is asked for
    -- again; null if there is none. Pollers write it with the result of a run.
    add column closed_markets jsonb,
    -- Ticks before this are skipped, because the markets of all symbols are closed. Written with closed_markets.
    add column closed_until timestamptz;

alter table polling_job_keys add column market_hours boolean not null default false;

-- As in 0016. Closed markets postpone the next run as a back-off does.
create or replace view polling_job_deadlines as
select job.job_id,
       case when job.paused_at is null then
           greatest(
               greatest(
                   job.start_at,
                   newest.tick_time + newest.ticks * job.interval_seconds * interval '1 second',
                   -- The first tick at or after the end of the back-off, and after the next opening.
                   job.start_at
                       + ceil(extract(epoch from greatest(job.backing_off_until, job.closed_until) - job.start_at)
                              / job.interval_seconds)
                       * job.interval_seconds * interval '1 second'
               ) + greatest(job.interval_seconds, 60) * interval '1 second' + interval '1 minute',
               case when newest.status = 'running' then newest.lease_until end
           )
       end as overdue_at
from polling_jobs job
left join lateral (
    select tick_time, ticks, status, lease_until
    from polling_runs
    where polling_runs.job_id = job.job_id and tick_time >= job.start_at and not requested
    order by tick_time desc
    limit 1
) newest on true
where job.pending_since is null and job.deleted_at is null;

-- As in 0015, with the market hours.
create or replace view polling_job_states as
select job.job_id,
       job.symbols,
       job.provider,
       job.interval_seconds,
       job.created_at,
       job.start_at,
       job.last_firing_at,
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
       job.closed_until
from polling_jobs job
join polling_job_deadlines deadline using (job_id)
left join lateral (
    select tick_time, status, published, unchanged, failed, error
    from polling_runs
    where polling_runs.job_id = job.job_id and status in ('succeeded', 'partial', 'failed', 'abandoned')
    order by tick_time desc
    limit 1
) run on true;
