//! The ticks that a relay has to serve now.

use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use crate::market::{Timestamp, to_microseconds};
use crate::repository::Error;

/// A past tick of a job that no poller is polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct DueTick {
    /// The job.
    pub job_id: Uuid,
    /// The tick.
    pub tick_time: Timestamp,
}

/// The newest tick at `now` of each job of the relay, if it is in no row, or if the lease of its
/// claim has expired. At most `limit` of them, the oldest ticks first, and none of the jobs
/// `except`. Another poller may claim a listed tick first.
///
/// A change of a job's interval records the tick that was due just then as missed. It is listed for
/// a minute after the change, so that no tick is lost if a job is changed at its very tick. An older
/// one is past: its firing, a minute late at most, would have come before the change.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn due(
    executor: impl PgExecutor<'_>,
    relay_id: i32,
    now: Timestamp,
    except: &[Uuid],
    limit: i64,
) -> Result<Vec<DueTick>, Error> {
    let ticks = sqlx::query_as(
        "with job as not materialized (
             select * from polling_jobs
             where relay_id = $1 and pending_since is null and deleted_at is null and paused_at is null
               and job_id <> all($3)
         ), newest as (
             select job.job_id, tick.tick_time
             from job
             cross join lateral (
                 select job.start_at
                        + floor(extract(epoch from $2 - job.start_at) / job.interval_seconds)
                        * job.interval_seconds * interval '1 second' as tick_time
             ) tick
             -- The row that covers the tick, if one does.
             left join lateral (
                 select tick_time, ticks, status, lease_until
                 from polling_runs
                 where polling_runs.job_id = job.job_id and polling_runs.tick_time <= tick.tick_time
                   and polling_runs.tick_time >= job.start_at and not requested
                 order by tick_time desc
                 limit 1
             ) run on run.tick_time = tick.tick_time
                   or run.tick_time + (run.ticks - 1) * job.interval_seconds * interval '1 second' >= tick.tick_time
             where job.interval_seconds % 60 <> 0 and job.start_at <= $2
               and coalesce(greatest(job.backing_off_until, job.closed_until) <= tick.tick_time, true)
               and (run.tick_time is null or run.status = 'running' and run.lease_until <= $2)
         ), last_of_old_interval as (
             select job.job_id, run.tick_time
             from job
             cross join lateral (
                 select tick_time, ticks, status
                 from polling_runs
                 where polling_runs.job_id = job.job_id and polling_runs.tick_time < job.start_at
                   and not requested
                 order by tick_time desc
                 limit 1
             ) run
             where job.start_at > $2 - interval '1 minute' and run.status = 'missed' and run.ticks = 1
               and run.tick_time > job.start_at - interval '2 minutes'
               and coalesce(greatest(job.backing_off_until, job.closed_until) <= run.tick_time, true)
         )
         -- One tick of a job at a time.
         select job_id, min(tick_time) as tick_time
         from (select * from newest union all select * from last_of_old_interval) due
         group by job_id
         order by tick_time, job_id
         limit $4",
    )
    .bind(relay_id)
    .bind(to_microseconds(now))
    .bind(except)
    .bind(limit)
    .fetch_all(executor)
    .await?;
    Ok(ticks)
}
