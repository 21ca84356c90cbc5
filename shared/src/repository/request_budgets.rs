//! The budget of each provider, shared by all instances, and whether its breaker lets a request
//! pass. `0021_budgets_of_any_window.sql` explains the rows and the functions.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::Error;
use crate::market::{ProviderName, Timestamp};

/// The windows of a budget, in the order of [`Admission::limits`].
pub const WINDOWS: [&str; 4] = ["second", "minute", "hour", "day"];

/// A wish to send requests to a provider.
#[derive(Clone, Debug)]
pub struct Admission<'a> {
    /// The provider.
    pub provider: &'a ProviderName,
    /// A digest of the key that is sent to it, if any.
    pub key: Option<&'a str>,
    /// Most tokens in each of the [`WINDOWS`], wherever it begins.
    pub limits: [Option<u32>; 4],
    /// Whether the limit of a day is one of each day in UTC, and not of any 24 hours.
    pub utc_day: bool,
    /// Tokens for the next request.
    pub needed: u32,
    /// Tokens that would be taken if there are so many.
    pub wanted: u32,
    /// Tokens that were taken ahead and not used. They come back if tokens are granted.
    pub unused: &'a [Unused],
    /// The id of the probe, if the request becomes one.
    pub probe_id: Uuid,
    /// How long a probe may take.
    pub probe_time: Duration,
    /// Replaces Postgres's clock, for tests.
    pub moment: Option<Timestamp>,
}

/// Tokens that were taken and not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unused {
    /// How many.
    pub tokens: u32,
    /// Until when they might have been used, by Postgres's clock.
    pub until: Timestamp,
}

/// Whether requests may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Tokens were taken.
    Granted {
        /// How many; at least as many as are needed.
        tokens: u32,
        /// When the needed ones were taken, by Postgres's clock.
        taken_at: Timestamp,
        /// How long after that the others may be used.
        valid_for: Duration,
        /// Failures in a row so far.
        failures: u32,
        /// Whether the request is the only one that a half-open breaker lets pass.
        is_probe: bool,
        /// Whether the breaker closed because the key is another one.
        closed: bool,
    },
    /// The breaker is open, or another request probes.
    Open {
        /// How long until it may be asked again.
        wait: Duration,
        /// Why it is open; safe to show.
        reason: String,
    },
    /// Too few tokens are left.
    Empty {
        /// How long until enough have come back, if no other request takes them.
        wait: Duration,
        /// The one of the [`WINDOWS`] that lacks them for the longest time.
        window: String,
    },
}

#[derive(FromRow)]
struct AdmittedRow {
    verdict: String,
    granted: i64,
    wait_ms: f64,
    valid_ms: f64,
    taken_at: Timestamp,
    why: Option<String>,
    failed: i32,
    closed: bool,
}

/// Asks for admission, in one statement that reads the breaker and takes the tokens.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn admit(
    executor: impl PgExecutor<'_>,
    admission: &Admission<'_>,
) -> Result<Admitted, Error> {
    let (unused, unused_until): (Vec<i64>, Vec<Timestamp>) = admission
        .unused
        .iter()
        .map(|unused| (i64::from(unused.tokens), unused.until))
        .unzip();

    let row: AdmittedRow = sqlx::query_as(
        "select verdict, granted, taken_at, why, failed, closed,
                coalesce(extract(epoch from wait), 0)::float8 * 1000 as wait_ms,
                coalesce(extract(epoch from valid_for), 0)::float8 * 1000 as valid_ms
         from admit_provider_request($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(admission.provider.as_str())
    .bind(admission.key)
    .bind(admission.limits.map(|limit| limit.map(i64::from)))
    .bind(admission.utc_day)
    .bind(i64::from(admission.needed))
    .bind(i64::from(admission.wanted))
    .bind(unused)
    .bind(unused_until)
    .bind(admission.probe_id)
    .bind(interval(admission.probe_time))
    .bind(admission.moment)
    .fetch_one(executor)
    .await?;

    let (wait, why) = (milliseconds(row.wait_ms), row.why.unwrap_or_default());
    Ok(match row.verdict.as_str() {
        "open" => Admitted::Open { wait, reason: why },
        "empty" => Admitted::Empty { wait, window: why },
        verdict => Admitted::Granted {
            tokens: u32::try_from(row.granted).unwrap_or(u32::MAX),
            taken_at: row.taken_at,
            valid_for: milliseconds(row.valid_ms),
            failures: row.failed.unsigned_abs(),
            is_probe: verdict == "probe",
            closed: row.closed,
        },
    })
}

/// Gives back the tokens of a request that was not sent, and its right to probe if it had that.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn give_back(
    executor: impl PgExecutor<'_>,
    provider: &ProviderName,
    unused: Unused,
    probe_id: Option<Uuid>,
) -> Result<(), Error> {
    sqlx::query("select give_back_request($1, $2, $3, $4)")
        .bind(provider.as_str())
        .bind(i64::from(unused.tokens))
        .bind(unused.until)
        .bind(probe_id)
        .execute(executor)
        .await?;
    Ok(())
}

/// The state of a provider's budget and breaker, at the time of reading.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ProviderState {
    /// The provider.
    pub owner: String,
    /// When this was read.
    pub read_at: Timestamp,
    /// Tokens that count in each of the [`WINDOWS`], and in the current day in UTC.
    pub taken_now: Vec<i64>,
    /// Failures in a row.
    pub failures: i32,
    /// When the breaker opened; `None` while it is closed.
    pub open_since: Option<Timestamp>,
    /// Until when it is open. After that time it is half-open.
    pub open_until: Option<Timestamp>,
    /// Why it is open.
    pub reason: Option<String>,
}

/// The states of all providers that were ever asked.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn provider_states(executor: impl PgExecutor<'_>) -> Result<Vec<ProviderState>, Error> {
    let states = sqlx::query_as(
        "select owner, now() as read_at, failures, open_since, reason,
                breaker_open_until(budget, now()) as open_until,
                tokens_taken(budget, now(), false) || (tokens_taken(budget, now(), true))[4]
                    as taken_now
         from request_budgets as budget
         where owner_kind = 'provider'
         order by owner",
    )
    .fetch_all(executor)
    .await?;
    Ok(states)
}

/// A duration as Postgres reads it. One beyond what an interval holds becomes the longest.
pub(super) fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}

/// A duration from Postgres's count; never negative.
fn milliseconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count / 1_000.0).unwrap_or_default()
}
