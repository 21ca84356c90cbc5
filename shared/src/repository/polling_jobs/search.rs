//! Jobs by their status and by what they poll.

use sqlx::{PgExecutor, Postgres, QueryBuilder};
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
    // Only the conditions that are asked for, so that the planner sees them: one that may or may not
    // apply would keep it from the index on symbols.
    let mut query = QueryBuilder::<Postgres>::new("select * from polling_job_states where true");

    if let Some(status) = filter.status {
        has_status(&mut query, status, now);
    }
    if let Some(symbol) = &filter.symbol {
        query.push(" and symbols @> array[");
        query.push_bind(symbol.as_str()).push("]");
    }
    if let Some((created_at, job_id)) = after {
        query.push(" and (created_at, job_id) > (");
        query.push_bind(created_at).push(", ");
        query.push_bind(job_id).push(")");
    }
    query.push(" order by created_at, job_id limit ");
    query.push_bind(limit);

    let rows: Vec<JobRow> = query.build_query_as().fetch_all(executor).await?;
    rows.into_iter().map(PollingJob::try_from).collect()
}

/// The jobs that [`PollingJob::status`] finds to have this status. A job that is not paused has a
/// time at which its next run is overdue.
fn has_status(query: &mut QueryBuilder<Postgres>, status: JobStatus, now: Timestamp) {
    query.push(match status {
        JobStatus::Paused => " and paused_at is not null",
        JobStatus::Stalled => " and paused_at is null and overdue_at < ",
        JobStatus::BackingOff => {
            " and paused_at is null and backing_off_since is not null and overdue_at >= "
        }
        JobStatus::Active => {
            " and paused_at is null and backing_off_since is null and overdue_at >= "
        }
    });
    if status != JobStatus::Paused {
        query.push_bind(now);
    }
}
