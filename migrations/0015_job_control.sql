-- Jobs that are changed and paused, since when a job has its status, and what became of each symbol of a run.

alter table polling_jobs
    -- When the job was paused; null while it is not. A paused job keeps its schedule, whose firings poll nothing. The api
    -- writes it.
    add column paused_at timestamptz,
    -- Since when the job is polled at its interval again; null: since its creation. Written with whatever ends a pause, a
    -- back-off or a stall.
    add column active_since timestamptz,
    -- Since when the job has been backing off; null while it does not.
    add column backing_off_since timestamptz;

-- Jobs that poll a symbol.
create index polling_jobs_by_symbol on polling_jobs using gin (symbols);

alter table polling_runs
    -- Symbols whose quote did not move: the event was acknowledged, and adds no point.
    add column unchanged int4 not null default 0,
    -- What became of each symbol, grouped: `[{"outcome", "provider", "symbols", "problem": {"kind", "detail"}}]`. Null in
    -- gaps and in runs of earlier versions.
    add column outcomes jsonb;

-- When a job's next run is overdue: see 0008. Runs before `start_at` belong to an earlier interval of the job. A paused job
-- has no next run.
create or replace view polling_job_deadlines as
select job.job_id,
       case when job.paused_at is null then
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
           )
       end as overdue_at
from polling_jobs job
left join lateral (
    select tick_time, ticks, status, lease_until
    from polling_runs
    where polling_runs.job_id = job.job_id and tick_time >= job.start_at
    order by tick_time desc
    limit 1
) newest on true
where job.pending_since is null and job.deleted_at is null;

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
       deadline.overdue_at,
       job.paused_at,
       job.active_since,
       job.backing_off_since,
       run.unchanged as run_unchanged
from polling_jobs job
join polling_job_deadlines deadline using (job_id)
left join lateral (
    select tick_time, status, published, unchanged, failed, error
    from polling_runs
    where polling_runs.job_id = job.job_id and status in ('succeeded', 'partial', 'failed', 'abandoned')
    order by tick_time desc
    limit 1
) run on true;
