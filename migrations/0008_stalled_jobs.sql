-- When a job's next run is overdue: from then on the job counts as stalled.
--
-- A job's next run is due at the tick after its newest recorded one, at its first tick where there is none, and not
-- before its back-off ends. It may be late by one firing of the schedule (one interval, and at least the minute that
-- lies between firings that relay), and by the minute that EventBridge may take to fire. A run that is being polled is
-- not overdue while its lease lasts.
create view polling_job_deadlines as
select job.job_id,
       greatest(
           greatest(
               job.start_at,
               newest.tick_time + newest.ticks * job.interval_seconds * interval '1 second',
               -- The first tick at or after the end of the back-off.
               job.start_at
                   + ceil(extract(epoch from job.backing_off_until - job.start_at) / job.interval_seconds)
                   * job.interval_seconds * interval '1 second'
           ) + greatest(job.interval_seconds, 60) * interval '1 second' + interval '1 minute',
           case when newest.status = 'running' then newest.lease_until end
       ) as overdue_at
from polling_jobs job
left join lateral (
    select tick_time, ticks, status, lease_until
    from polling_runs
    where polling_runs.job_id = job.job_id
    order by tick_time desc
    limit 1
) newest on true;

-- Jobs as readers see them: with the newest run that is over, and when the next one is overdue.
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
       deadline.overdue_at
from polling_jobs job
join polling_job_deadlines deadline using (job_id)
left join lateral (
    select tick_time, status, published, failed, error
    from polling_runs
    where polling_runs.job_id = job.job_id and status in ('succeeded', 'partial', 'failed', 'abandoned')
    order by tick_time desc
    limit 1
) run on true;
