-- Runs that a request asked for, beside those of the ticks.

alter table polling_runs
    -- Whether a request asked for the run. Its `tick_time` is then the time of the request, which is never a whole second
    -- and so never a tick. It counts neither as a tick of the job nor as the newest one. The api inserts such runs.
    add column requested boolean not null default false;

-- `requested`: the run waits for a poller. Rows that exist satisfied the narrower constraint, so none is checked again.
alter table polling_runs drop constraint polling_runs_status_check;
alter table polling_runs add constraint polling_runs_status_check check (status in
    ('requested', 'running', 'succeeded', 'partial', 'failed', 'abandoned', 'missed', 'skipped')) not valid;

-- The requested runs that have not ended. Upkeep closes those that no poller takes.
create index polling_runs_open_requests on polling_runs (tick_time) where requested and finished_at is null;

-- The requests for runs that came with an Idempotency-Key, so that the same request again is answered with the same run.
-- Written by the api in one transaction with the run; upkeep removes a key when its time is over.
create table polling_run_keys (
    idempotency_key  text primary key,
    job_id           uuid not null,
    tick_time        timestamptz not null,
    created_at       timestamptz not null default now()
);

-- As in 0015, without requested runs.
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
    where polling_runs.job_id = job.job_id and tick_time >= job.start_at and not requested
    order by tick_time desc
    limit 1
) newest on true
where job.pending_since is null and job.deleted_at is null;
