//! Jobs by their status and by what they poll.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{JobRow, JobStatus, PollingJob};
use crate::market::{Symbol, Timestamp};
use crate::repository::Error;

/// Which jobs are searched for; by default, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Jobs with this status.
    pub status: Option<JobStatus>,
    /// Jobs that poll this symbol.
    pub symbol: Option<Symbol>,
}

/// Up to `limit` jobs that match `filter` at `now`, in the order of their creation, beginning after
/// the one that `after` names by its creation time and id.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn search(
    executor: impl PgExecutor<'_>,
    filter: &Filter,
    now: Timestamp,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<PollingJob>, Error> {
    let (created_at, job_id) = after.unzip();

    // The statuses are those of `PollingJob::status`: a job backs off if it has failed twice, or if
    // the first tick after its pause is later than its next one.
    let rows: Vec<JobRow> = sqlx::query_as(
        "select * from (
             select state.*,
                    case
                        when paused_at is not null then 'paused'
                        when $3 > overdue_at then 'stalled'
                        when backing_off_until is not null
                             and (consecutive_failures > 1
                                  or ceil(extract(epoch from backing_off_until - start_at) / interval_seconds)
                                     > greatest(floor(extract(epoch from $3 - start_at) / interval_seconds) + 1, 0))
                            then 'backing_off'
                        else 'active'
                    end as status
             from polling_job_states state
             where $2::text is null or symbols @> array[$2]
         ) job
         where ($1::text is null or status = $1)
           and ($4::timestamptz is null or (created_at, job_id) > ($4, $5))
         order by created_at, job_id
         limit $6",
    )
    .bind(filter.status.map(JobStatus::as_str))
    .bind(filter.symbol.as_ref().map(Symbol::as_str))
    .bind(now)
    .bind(created_at)
    .bind(job_id)
    .bind(limit)
    .fetch_all(executor)
    .await?;

    rows.into_iter().map(PollingJob::try_from).collect()
}
