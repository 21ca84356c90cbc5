//! The budget and the circuit breaker of each provider, shared by all instances.
//! `0013_provider_states.sql` explains the rows and the functions.

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
    /// Most tokens in each of the [`WINDOWS`].
    pub limits: [Option<u32>; 4],
    /// Tokens for the next request.
    pub needed: u32,
    /// Tokens that would be taken if there are so many.
    pub wanted: u32,
    /// The id of the probe, if the request becomes one.
    pub probe_id: Uuid,
    /// How long a probe may take.
    pub probe_time: Duration,
    /// Replaces Postgres's clock, for tests.
    pub moment: Option<Timestamp>,
}

/// Whether requests may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Tokens were taken.
    Granted {
        /// How many; at least one.
        tokens: u32,
        /// How long they may be kept.
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
        /// How long until the next window begins.
        wait: Duration,
    },
}

#[derive(FromRow)]
struct AdmittedRow {
    verdict: String,
    granted: i64,
    wait_ms: f64,
    valid_ms: f64,
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
    let row: AdmittedRow = sqlx::query_as(
        "select verdict, granted, why, failed, closed,
                coalesce(extract(epoch from wait), 0)::float8 * 1000 as wait_ms,
                coalesce(extract(epoch from valid_for), 0)::float8 * 1000 as valid_ms
         from admit_request($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(admission.provider.as_str())
    .bind(admission.key)
    .bind(admission.limits.map(|limit| limit.map(i64::from)))
    .bind(i64::from(admission.needed))
    .bind(i64::from(admission.wanted))
    .bind(admission.probe_id)
    .bind(interval(admission.probe_time))
    .bind(admission.moment)
    .fetch_one(executor)
    .await?;

    let wait = milliseconds(row.wait_ms);
    Ok(match row.verdict.as_str() {
        "open" => Admitted::Open {
            wait,
            reason: row.why.unwrap_or_default(),
        },
        "empty" => Admitted::Empty { wait },
        verdict => Admitted::Granted {
            tokens: u32::try_from(row.granted).unwrap_or(u32::MAX),
            valid_for: milliseconds(row.valid_ms),
            failures: row.failed.unsigned_abs(),
            is_probe: verdict == "probe",
            closed: row.closed,
        },
    })
}

/// Counts tokens that were used without having been taken, because a request became several. The
/// budget may be overdrawn by them; the windows have as much less afterwards.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn charge(
    executor: impl PgExecutor<'_>,
    provider: &ProviderName,
    tokens: u32,
) -> Result<(), Error> {
    sqlx::query(
        "update request_budgets
         set taken = array(select used + $2 from unnest(taken) with ordinality as t(used, place)
                           order by place)
         where owner_kind = 'provider' and owner = $1",
    )
    .bind(provider.as_str())
    .bind(i64::from(tokens))
    .execute(executor)
    .await?;
    Ok(())
}

/// A failure of a whole request.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// The provider.
    pub provider: &'a ProviderName,
    /// The id of the probe, if the request was one.
    pub probe_id: Option<Uuid>,
    /// What happened; safe to show.
    pub reason: &'a str,
    /// How long the provider must not be asked, if the failure tells it.
    pub pause: Option<Duration>,
    /// A digest of the key that the provider refused.
    pub refused_key: Option<&'a str>,
    /// Replaces Postgres's clock, for tests.
    pub moment: Option<Timestamp>,
}

/// When failures open a breaker, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct OpeningRule {
    /// Failures in a row that open it.
    pub failures: u32,
    /// The first pause; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// A random factor near 1, so that not all breakers half-open together.
    pub jitter: f64,
}

/// Records a failed request. Returns the time until which the breaker is open now, if it opened.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn failed(
    executor: impl PgExecutor<'_>,
    failure: &Failure<'_>,
    rule: &OpeningRule,
) -> Result<Option<Timestamp>, Error> {
    let opened =
        sqlx::query_scalar("select report_failure($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
            .bind(failure.provider.as_str())
            .bind(failure.probe_id)
            .bind(failure.reason)
            .bind(failure.pause.map(interval))
            .bind(failure.refused_key)
            .bind(i32::try_from(rule.failures).unwrap_or(i32::MAX))
            .bind(interval(rule.first))
            .bind(interval(rule.longest))
            .bind(rule.jitter)
            .bind(failure.moment)
            .fetch_one(executor)
            .await?;
    Ok(opened)
}

/// Records that a request succeeded: there are no failures in a row, and if it was the probe, the
/// breaker closes. Returns whether it closed.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn succeeded(
    executor: impl PgExecutor<'_>,
    provider: &ProviderName,
    probe_id: Option<Uuid>,
) -> Result<bool, Error> {
    let closed: Option<bool> = sqlx::query_scalar(
        "with before as (
             select open_until from request_budgets
             where owner_kind = 'provider' and owner = $1 and (open_until is null or probe_id = $2)
             for update
         )
         update request_budgets
         set failures = 0, openings = 0, open_since = null, open_until = null, reason = null,
             probe_id = null, probe_until = null, refused_key = null
         from before
         where owner_kind = 'provider' and owner = $1
         returning before.open_until is not null",
    )
    .bind(provider.as_str())
    .bind(probe_id)
    .fetch_optional(executor)
    .await?;
    Ok(closed.unwrap_or(false))
}

/// The state of a provider's budget and breaker, at the time of reading.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ProviderState {
    /// The provider.
    pub owner: String,
    /// When this was read.
    pub read_at: Timestamp,
    /// Tokens taken in each of the current [`WINDOWS`].
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
        "select owner, now() as read_at, failures, open_since, open_until, reason,
                array(
                    select case when start >= date_trunc(unit, now(), 'UTC') then taken else 0 end
                    from unnest(window_starts, taken, array['second', 'minute', 'hour', 'day'])
                         with ordinality as in_window(start, taken, unit, place)
                    order by place
                ) as taken_now
         from request_budgets
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
