-- Relays: each is a schedule that fires every minute, and the jobs that its firings serve.
--
-- EventBridge knows whole minutes only. A job whose interval is not a multiple of a minute belongs to a relay, whose
-- invocations serve the ticks of all its jobs from one firing to the next. Whoever creates or changes a job writes its
-- `relay_id`, and makes a relay if all have as many jobs as they may. Upkeep removes a relay without jobs. The numbers
-- are never given again, so a schedule that outlived its relay serves nobody's jobs.
create table relays (
    relay_id       int4 generated always as identity primary key,
    -- Its schedule fires at start_at + k × 1 minute.
    start_at       timestamptz not null,
    -- The newest firing that a poller has seen. The invocation of an older one ends when it reads this.
    last_firing_at timestamptz
);

-- Means nothing where the interval is a multiple of a minute: such a job has a schedule of its own. It is the relay that
-- served the job before its interval changed, which still serves the last of its old ticks, until upkeep sets it to null.
alter table polling_jobs add column relay_id int4 references relays on delete set null;

create index polling_jobs_by_relay on polling_jobs (relay_id) where relay_id is not null;

-- The runs that are being polled. Each claim looks for those of its job whose lease has expired, among all its runs.
create index polling_runs_running on polling_runs (job_id) where status = 'running';
