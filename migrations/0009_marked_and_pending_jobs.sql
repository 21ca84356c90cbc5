-- Jobs that are not there yet, and jobs that are not there any more.
--
-- A job is made in three steps: its row, its schedule, and the row's activation. Until that it is pending: no reader sees
-- it and nothing polls it, so an answer "not made" holds whatever became of the first two. The api activates; upkeep
-- removes what was left pending. Null means active.
alter table polling_jobs add column pending_since timestamptz;

-- Deleting a job marks it, since it may have more runs than one request has time to delete. No reader sees it from then
-- on; upkeep deletes its runs, and the row after them. The api marks.
alter table polling_jobs add column deleted_at timestamptz;

create index polling_jobs_to_remove on polling_jobs (job_id) where pending_since is not null or deleted_at is not null;

-- The requests for jobs that came with an Idempotency-Key, so that the same request again is answered with the same job.
-- Written by the api in one transaction with the job; upkeep removes a job's key with the pending job, and otherwise when
-- its time is over.
create table polling_job_keys (
    idempotency_key  text primary key,
    job_id           uuid not null,
    symbols          text[] not null,
    provider         text not null,
    interval_seconds int4 not null,
    created_at       timestamptz not null default now()
);

create index polling_job_keys_by_job on polling_job_keys (job_id);

create or replace view polling_job_deadlines as
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
) newest on true
where job.pending_since is null and job.deleted_at is null;
