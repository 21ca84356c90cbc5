//! Where exports end that name no end themselves: held for all instances, because a reader asks for
//! a file in several requests.

use std::time::Duration;

use sqlx::PgExecutor;

use super::Error;
use crate::market::Timestamp;

/// An end is held while the next request comes within this time: the requests of a reader follow
/// each other at once.
pub const HELD_AFTER_USE: Duration = Duration::from_secs(5);
/// Longest that an end is held, even if it is asked for again and again.
pub const HELD_AT_MOST: Duration = Duration::from_secs(60);

/// Returns the end that is held for the exports of a series, or holds `newest` from now on.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn hold(
    executor: impl PgExecutor<'_>,
    series_id: i32,
    newest: Timestamp,
) -> Result<Timestamp, Error> {
    let end = sqlx::query_scalar(
        "insert into export_ends as e (series_id, ends_at, found_at, used_at) values ($1, $2, now(), now())
         on conflict (series_id) do update set (ends_at, found_at, used_at) = (
             select case when held then e.ends_at else excluded.ends_at end,
                    case when held then e.found_at else excluded.found_at end,
                    excluded.used_at
             from (values (
                 e.used_at > now() - make_interval(secs => $3) and e.found_at > now() - make_interval(secs => $4)
                 -- After a restore of the database, the series may end earlier.
                 and e.ends_at <= excluded.ends_at
             )) as still(held)
         )
         returning ends_at",
    )
    .bind(series_id)
    .bind(newest)
    .bind(HELD_AFTER_USE.as_secs_f64())
    .bind(HELD_AT_MOST.as_secs_f64())
    .fetch_one(executor)
    .await?;

    Ok(end)
}
