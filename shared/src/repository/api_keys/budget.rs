//! How often a key may still be used, for all instances together. `0030_api_keys.sql` explains the
//! function, `0021_budgets_of_any_window.sql` the budgets.

use std::time::Duration;

use sqlx::{FromRow, PgExecutor};

use crate::access::{KeyId, RateLimits};
use crate::market::Timestamp;
use crate::repository::Error;

/// Requests that were taken ahead and not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unused {
    /// How many.
    pub requests: u32,
    /// Until when they might have been used, by Postgres's clock.
    pub until: Timestamp,
}

/// A wish to use a key.
#[derive(Clone, Debug)]
pub struct Use<'a> {
    /// The key.
    pub key: KeyId,
    /// How often it may be used.
    pub limits: RateLimits,
    /// Requests that would be taken if there are so many; at least one.
    pub wanted: u32,
    /// Requests that were taken ahead and not used. They come back if some are granted.
    pub unused: &'a [Unused],
    /// Replaces Postgres's clock, for tests.
    pub moment: Option<Timestamp>,
}

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Requests that were taken; 0 if none was left.
    pub requests: u32,
    /// How long until one has come back, if none was left.
    pub wait: Duration,
    /// When the first was taken, by Postgres's clock.
    pub taken_at: Timestamp,
    /// How long after that the others may be used.
    pub valid_for: Duration,
    /// What is left in a second, a minute, an hour and 24 hours; `None` without a limit.
    pub remaining: [Option<u32>; 4],
}

#[derive(FromRow)]
struct Row {
    granted: i64,
    wait_ms: f64,
    valid_ms: f64,
    taken_at: Timestamp,
    remaining: Vec<Option<i64>>,
}

/// Takes requests from a key's budget, in one statement.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn take(executor: impl PgExecutor<'_>, wish: &Use<'_>) -> Result<Granted, Error> {
    let (unused, unused_until): (Vec<i64>, Vec<Timestamp>) = wish
        .unused
        .iter()
        .map(|unused| (i64::from(unused.requests), unused.until))
        .unzip();

    let row: Row = sqlx::query_as(
        "select granted, taken_at, remaining,
                coalesce(extract(epoch from wait), 0)::float8 * 1000 as wait_ms,
                coalesce(extract(epoch from valid_for), 0)::float8 * 1000 as valid_ms
         from admit_key_request($1, $2, $3, $4, $5, $6)",
    )
    .bind(wish.key.as_str())
    .bind(wish.limits.of_windows().map(|limit| limit.map(i64::from)))
    .bind(i64::from(wish.wanted))
    .bind(unused)
    .bind(unused_until)
    .bind(wish.moment)
    .fetch_one(executor)
    .await?;

    let left = |place: usize| {
        let left = row.remaining.get(place).copied().flatten()?;
        Some(u32::try_from(left.max(0)).unwrap_or(u32::MAX))
    };
    Ok(Granted {
        requests: u32::try_from(row.granted.max(0)).unwrap_or(u32::MAX),
        wait: milliseconds(row.wait_ms),
        taken_at: row.taken_at,
        valid_for: milliseconds(row.valid_ms),
        remaining: std::array::from_fn(left),
    })
}

/// A duration from Postgres's count; never negative.
fn milliseconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count / 1_000.0).unwrap_or_default()
}
