//! The circuit breaker of each provider, shared by all instances: what opens and what closes it.
//! [`super::request_budgets`] asks it.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use super::Error;
use super::request_budgets::interval;
use crate::market::{ProviderName, Timestamp};

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
