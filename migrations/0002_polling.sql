-- Polling: jobs, and a record of each of their ticks.
--
-- Postgres is the source of truth for jobs: a schedule at EventBridge carries only a job's id. The poller alone writes
-- `polling_runs`, and what of a job changes after its creation.

-- A job's ticks lie at start_at + k × interval_seconds.
create table polling_jobs (
    job_id               uuid primary key,
    symbols              text[] not null,
    provider             text not null,
    interval_seconds     int4 not null check (interval_seconds between 1 and 86400),
    created_at           timestamptz not null,
    start_at             timestamptz not null,
    -- The newest firing of the job's schedule that a poller has seen. A relay for an older one ends when it reads this.
    last_firing_at       timestamptz,
    -- Runs in a row that published nothing, and until when ticks are skipped because of them; null after a success.
    consecutive_failures int4 not null default 0,
    backing_off_until    timestamptz
);

create index polling_jobs_by_creation on polling_jobs (created_at, job_id);

-- One row per tick that was claimed, and one per gap of ticks that nobody polled. What is written about a job's ticks
-- is written under a lock of the job's row, so every tick up to the newest is in exactly one row.
create table polling_runs (
    job_id      uuid not null references polling_jobs on delete cascade,
    -- The tick, or the first one of a gap.
    tick_time   timestamptz not null,
    -- How many ticks the row stands for: more than one only in a gap.
    ticks       int8 not null default 1 check (ticks > 0),
    -- `missed` and `skipped` (while backing off) are gaps. `abandoned`: the claim's holder was not heard of again.
    status      text not null check (status in
                    ('running', 'succeeded', 'partial', 'failed', 'abandoned', 'missed', 'skipped')),
    -- Who polls the tick, and until when the claim is good unless renewed; null in a gap.
    claim_id    uuid,
    lease_until timestamptz,
    started_at  timestamptz,
    finished_at timestamptz,
    -- Symbols whose event was acknowledged, and all others.
    published   int4 not null default 0,
    failed      int4 not null default 0,
    error       text,
    primary key (job_id, tick_time)
);

-- Jobs as readers see them: with the newest run that is over.
create view polling_job_states as
select job.*,
       run.tick_time as run_tick_time,
       run.status as run_status,
       run.published as run_published,
       run.failed as run_failed,
       run.error as run_error
from polling_jobs job
left join lateral (
    select tick_time, status, published, failed, error
    from polling_runs
    where polling_runs.job_id = job.job_id and status in ('succeeded', 'partial', 'failed', 'abandoned')
    order by tick_time desc
    limit 1
) run on true;
