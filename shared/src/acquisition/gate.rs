//! The gate to a provider: its breaker and its budget.
//!
//! Both are in Postgres, in one row for all instances, and one statement asks both. An instance
//! that sends several requests in a row takes tokens ahead, for a second at most, and passes
//! without a statement while it holds some.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Course;
use crate::market::ProviderName;
use crate::provider::{Limits, Provider, ProviderError, REQUEST_TIMEOUT};
use crate::repository::request_budgets::{self, Admission, Admitted};

/// How long a probe may take before another one is sent: a request, and what surrounds it.
const PROBE_TIME: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(5));
/// Longest that counting further requests may take.
const STATEMENT: Duration = Duration::from_secs(1);
/// Most tokens taken ahead from a budget without limits.
const AHEAD: u32 = 1_000;
/// The time over which an instance counts what it used, to know how much to take ahead.
const SECOND: Duration = Duration::from_secs(1);

/// The right to send one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// The id of the probe, if the request is one.
    pub(super) probe_id: Option<Uuid>,
    /// Whether the provider failed last time, so that a success has to be recorded.
    pub(super) failed_before: bool,
}

/// What the budget says to a request that the breaker lets pass.
enum Entry {
    Passed(Pass),
    /// Too few tokens are left; the next window begins after this time.
    Empty(Duration),
}

/// What this instance holds of each provider's budget.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<HashMap<ProviderName, Held>>);

/// What this instance holds of one budget.
#[derive(Clone, Copy, Debug)]
struct Held {
    tokens: u32,
    until: Instant,
    failed_before: bool,
    /// What was used since `counted_from`, and in the second before it.
    used: u32,
    used_before: u32,
    counted_from: Instant,
}

impl Gate {
    /// Takes the tokens of a request for this many symbols, and waits for them as long as the
    /// `course` does.
    ///
    /// The inner error says why the request may not be sent.
    ///
    /// # Errors
    /// When Postgres does not answer, or the caller may not wait any longer.
    pub(super) async fn pass<C: Course>(
        &self,
        course: &C,
        provider: &dyn Provider,
        symbols: usize,
    ) -> Result<Result<Pass, ProviderError>, C::Error> {
        if let Err(error) = provider.ready() {
            return Ok(Err(error));
        }
        if !provider.is_remote() {
            return Ok(Ok(Pass {
                probe_id: None,
                failed_before: false,
            }));
        }

        let needed = provider.limits().cost_of(symbols);
        loop {
            if let Some(pass) = self.take(provider.name(), needed, Instant::now()) {
                return Ok(Ok(pass));
            }

            let wait = match self.enter(course, provider, needed).await? {
                Ok(Entry::Passed(pass)) => return Ok(Ok(pass)),
                Ok(Entry::Empty(wait)) => wait,
                Err(error) => return Ok(Err(error)),
            };
            if !course.pause(wait).await? {
                return Ok(Err(ProviderError::RateLimited {
                    provider: provider.name().clone(),
                    retry_after: Some(wait),
                    scope: None,
                }));
            }
        }
    }

    /// Asks the breaker and the budget in Postgres, and keeps the tokens that were taken ahead.
    async fn enter<C: Course>(
        &self,
        course: &C,
        provider: &dyn Provider,
        needed: u32,
    ) -> Result<Result<Entry, ProviderError>, C::Error> {
        // Before the statement is sent: tokens are kept too short rather than too long.
        let asked_at = Instant::now();
        let (name, limits, key) = (provider.name(), provider.limits(), provider.key_digest());
        let admission = Admission {
            provider: name,
            key: key.as_deref(),
            limits: limits.of_windows(),
            needed,
            wanted: self.wanted(name, needed, &limits, asked_at),
            probe_id: Uuid::new_v4(),
            probe_time: PROBE_TIME,
            moment: None,
        };
        let admitted = course
            .postgres("take a request from the provider's budget", || {
                request_budgets::admit(course.pool(), &admission)
            })
            .await?;

        Ok(match admitted {
            Admitted::Granted {
                is_probe,
                failures,
                tokens,
                valid_for,
                closed,
            } => {
                if closed {
                    let reason = "its key was replaced";
                    tracing::info!(provider = %name, reason, "breaker closed");
                }

                let pass = Pass {
                    probe_id: is_probe.then_some(admission.probe_id),
                    failed_before: failures > 0,
                };
                let ahead = if is_probe {
                    0
                } else {
                    tokens.saturating_sub(needed)
                };
                self.keep(name, ahead, needed, asked_at, valid_for, pass);
                Ok(Entry::Passed(pass))
            }
            Admitted::Empty { wait } => Ok(Entry::Empty(wait)),
            Admitted::Open { wait, reason } => Err(ProviderError::Paused {
                provider: name.clone(),
                reason,
                wait,
            }),
        })
    }

    /// Takes from the tokens that the instance holds.
    fn take(&self, provider: &ProviderName, needed: u32, now: Instant) -> Option<Pass> {
        let mut held = self.lock();
        let held = held.get_mut(provider)?;
        if held.until <= now || held.tokens < needed {
            return None;
        }

        held.tokens -= needed;
        held.count(needed, now);
        Some(Pass {
            probe_id: None,
            failed_before: held.failed_before,
        })
    }

    /// What a request takes from the budget: its own tokens, and ahead as many as the instance used
    /// within a second, but not more than an even use of the budget gives in a second.
    fn wanted(&self, provider: &ProviderName, needed: u32, limits: &Limits, now: Instant) -> u32 {
        let rates = [
            limits.per_second,
            limits.per_minute.map(|limit| limit / 60),
            limits.per_hour.map(|limit| limit / 3_600),
            limits.per_day.map(|limit| limit / 86_400),
        ];
        let even = rates.into_iter().flatten().min().unwrap_or(AHEAD);

        let used = self.lock().get(provider).map_or(0, |held| held.lately(now));
        needed.saturating_add(used.min(even))
    }

    fn keep(
        &self,
        provider: &ProviderName,
        tokens: u32,
        used: u32,
        asked_at: Instant,
        valid_for: Duration,
        pass: Pass,
    ) {
        let mut all = self.lock();
        let held = all.entry(provider.clone()).or_insert(Held {
            tokens: 0,
            until: asked_at,
            failed_before: false,
            used: 0,
            used_before: 0,
            counted_from: asked_at,
        });

        held.tokens = tokens;
        held.until = asked_at + valid_for;
        held.failed_before = pass.failed_before;
        held.count(used, asked_at);
    }

    /// Settles a request that became several, or none: what it used beyond its tokens is charged,
    /// and what it did not use is held again.
    pub(super) async fn settle(
        &self,
        pool: &PgPool,
        provider: &dyn Provider,
        symbols: usize,
        requests: u32,
    ) {
        if !provider.is_remote() || requests == 1 {
            return;
        }

        let cost = provider.limits().cost_of(symbols);
        if requests == 0 {
            if let Some(held) = self.lock().get_mut(provider.name()) {
                held.tokens = held.tokens.saturating_add(cost);
            }
            return;
        }

        let extra = cost.saturating_mul(requests - 1);
        let charged = request_budgets::charge(pool, provider.name(), extra);
        if !matches!(timeout(STATEMENT, charged).await, Ok(Ok(()))) {
            tracing::warn!(
                provider = %provider.name(),
                extra,
                "requests are not counted: Postgres did not take them"
            );
        }
    }

    /// Notes whether the provider failed. After a failure nothing is held, so that the next request
    /// asks the breaker.
    pub(super) fn note(&self, provider: &ProviderName, failed: bool) {
        if let Some(held) = self.lock().get_mut(provider) {
            held.failed_before = failed;
            if failed {
                held.tokens = 0;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProviderName, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn count(&mut self, used: u32, now: Instant) {
        let since = now.duration_since(self.counted_from);
        if since >= SECOND {
            self.used_before = if since < 2 * SECOND { self.used } else { 0 };
            self.used = 0;
            self.counted_from = now;
        }
        self.used = self.used.saturating_add(used);
    }

    /// What was used in this second or in the one before it, whichever is more.
    fn lately(&self, now: Instant) -> u32 {
        if now.duration_since(self.counted_from) < 2 * SECOND {
            self.used.max(self.used_before)
        } else {
            0
        }
    }
}
