//! The gate to a provider: its breaker, its budget, and how many requests it takes at a time.
//!
//! Breaker and budget are in Postgres, in one row for all instances, and one statement asks both.
//! An instance that sends several requests in a row takes tokens ahead ([`allowance`]), and passes
//! without a statement while it holds some. It also remembers a refusal, for a second at most. The
//! number of requests at a time is limited in each instance.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Course;
use crate::market::ProviderName;
use crate::provider::{Provider, ProviderError, REQUEST_TIMEOUT};
use crate::repository::request_budgets::{self, Admission, Admitted, Unused};

mod allowance;
mod known;
mod settlement;

use allowance::Grant;
use known::{Known, REMEMBERED, Refused, Why};

/// How long a probe may take before another one is sent: what Postgres may take to admit it, a
/// request, and what it may take to record the result.
const PROBE_TIME: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(10));
/// Longest that a request waits until another one of this instance has asked the budget.
const TURN: Duration = Duration::from_secs(1);

/// The right to send one request.
#[derive(Debug)]
pub(super) struct Pass {
    /// The id of the probe, if the request is one.
    pub(super) probe_id: Option<Uuid>,
    /// Whether the provider failed last time, so that a success has to be recorded.
    pub(super) failed_before: bool,
    /// The tokens that it took; none if the provider has no budget.
    tokens: Option<Unused>,
    /// The request's place among those that are open at the same time.
    _place: Option<OwnedSemaphorePermit>,
}

/// What the gate says to a request.
enum Entry {
    Passed(Pass),
    /// Too few tokens are left; enough will have come back after this time.
    Empty {
        wait: Duration,
        window: String,
    },
    Shut(ProviderError),
}

/// What this instance knows of each provider.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<HashMap<ProviderName, Known>>);

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
            return Ok(Ok(Pass::free()));
        }

        let needed = provider.limits().cost_of(symbols);
        loop {
            // Before the tokens: they would be used later than they were taken.
            let place = match self.place(course, provider).await {
                Ok(place) => place,
                Err(error) => return Ok(Err(error)),
            };

            let (wait, window) = match self.enter(course, provider, needed).await? {
                Entry::Passed(pass) => {
                    return Ok(Ok(Pass {
                        _place: place,
                        ..pass
                    }));
                }
                Entry::Shut(error) => return Ok(Err(error)),
                Entry::Empty { wait, window } => (wait, window),
            };

            // A request that waits for tokens does not occupy a place.
            drop(place);
            if !course.pause(wait).await? {
                return Ok(Err(used_up(provider, &window, wait)));
            }
        }
    }

    /// Why no request may be sent to the provider, if this instance has just learned it.
    pub(super) fn shut(&self, provider: &ProviderName) -> Option<ProviderError> {
        match self.refused(provider, u32::MAX, Instant::now())? {
            Entry::Shut(error) => Some(error),
            Entry::Passed(_) | Entry::Empty { .. } => None,
        }
    }

    /// Waits until fewer requests are open than the provider takes at a time.
    async fn place<C: Course>(
        &self,
        course: &C,
        provider: &dyn Provider,
    ) -> Result<Option<OwnedSemaphorePermit>, ProviderError> {
        let most = provider.limits().max_concurrent;
        let places = self.known(provider.name(), |known| known.places(most));
        let Some(places) = places else {
            return Ok(None);
        };

        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            return Ok(Some(place));
        }
        let waited = timeout(course.longest_wait_for_others(), places.acquire_owned()).await;
        waited.ok().and_then(Result::ok).map(Some).ok_or_else(|| {
            let reason = "as many requests to it are open as are allowed at a time".to_owned();
            ProviderError::Paused {
                provider: provider.name().clone(),
                reason,
                wait: REMEMBERED,
            }
        })
    }

    /// Passes with tokens that the instance holds, or else asks Postgres.
    async fn enter<C: Course>(
        &self,
        course: &C,
        provider: &dyn Provider,
        needed: u32,
    ) -> Result<Entry, C::Error> {
        let name = provider.name();
        if let Some(entry) = self.remembered(name, needed, Instant::now()) {
            return Ok(entry);
        }

        // One request of an instance asks at a time. The others use what it took ahead: if all of
        // them asked, some would find the budget empty and wait, and tokens taken ahead would expire.
        let turn = self.known(name, |known| Arc::clone(&known.turn));
        let _turn = timeout(TURN, turn.lock()).await;
        // Before the statement is sent: tokens are kept too short rather than too long.
        let asked_at = Instant::now();
        if let Some(entry) = self.remembered(name, needed, asked_at) {
            return Ok(entry);
        }

        self.ask(course, provider, needed, asked_at).await
    }

    /// Asks Postgres.
    async fn ask<C: Course>(
        &self,
        course: &C,
        provider: &dyn Provider,
        needed: u32,
        asked_at: Instant,
    ) -> Result<Entry, C::Error> {
        let name = provider.name();
        let (limits, key) = (provider.limits(), provider.key_digest());
        let (ahead, unused) = self.known(name, |known| {
            let ahead = known.allowance.ahead(&limits, asked_at);
            (ahead, known.allowance.unused(asked_at))
        });
        let admission = Admission {
            provider: name,
            key: key.as_deref(),
            limits: limits.of_windows(),
            utc_day: limits.utc_day,
            needed,
            wanted: needed.saturating_add(ahead),
            unused: &unused,
            probe_id: Uuid::new_v4(),
            probe_time: PROBE_TIME,
            moment: None,
        };
        let admitted = course
            .postgres("take a request from the provider's budget", || {
                request_budgets::admit(course.pool(), &admission)
            })
            .await?;

        Ok(self.admitted(&admission, admitted, asked_at))
    }

    /// Remembers what Postgres said.
    fn admitted(&self, admission: &Admission<'_>, admitted: Admitted, asked_at: Instant) -> Entry {
        let &Admission {
            provider, needed, ..
        } = admission;
        let refuse = |why: Why, wait: Duration| {
            let refused = Refused::new(why, needed, wait, asked_at);
            let entry = refused.entry(provider, asked_at);
            self.known(provider, |known| {
                known.allowance.keep_unused(admission.unused, asked_at);
                known.refused = Some(refused);
            });
            entry
        };

        match admitted {
            Admitted::Open { wait, reason } => refuse(Why::Open(reason), wait),
            Admitted::Empty { wait, window } => refuse(Why::Empty(window), wait),
            Admitted::Granted {
                tokens,
                taken_at,
                valid_for,
                failures,
                is_probe,
                closed,
            } => {
                if closed {
                    let reason = "its key was replaced";
                    tracing::info!(%provider, reason, "breaker closed");
                }

                let valid_there = TimeDelta::from_std(valid_for).unwrap_or_default();
                let grant = Grant {
                    tokens: tokens.saturating_sub(needed),
                    until: asked_at + valid_for,
                    until_there: taken_at + valid_there,
                };
                self.known(provider, |known| {
                    known.refused = None;
                    known.failed_before = failures > 0;
                    known.allowance.count(needed, asked_at);
                    known.allowance.add(grant);
                });

                Entry::Passed(Pass {
                    probe_id: is_probe.then_some(admission.probe_id),
                    failed_before: failures > 0,
                    tokens: Some(Unused {
                        tokens: needed,
                        until: taken_at,
                    }),
                    _place: None,
                })
            }
        }
    }

    /// What needs no statement: a refusal that is remembered, or tokens that are held.
    fn remembered(&self, provider: &ProviderName, needed: u32, now: Instant) -> Option<Entry> {
        let refused = self.refused(provider, needed, now);
        refused.or_else(|| self.take(provider, needed, now).map(Entry::Passed))
    }

    /// What this instance was told within the last second, if it holds for this request.
    fn refused(&self, provider: &ProviderName, needed: u32, now: Instant) -> Option<Entry> {
        self.known(provider, |known| {
            let refused = known.refused.as_ref();
            let refused = refused.filter(|refused| refused.holds(needed, now))?;
            Some(refused.entry(provider, now))
        })
    }

    /// Takes from the tokens that the instance holds.
    fn take(&self, provider: &ProviderName, needed: u32, now: Instant) -> Option<Pass> {
        self.known(provider, |known| {
            let until = known.allowance.take(needed, now)?;
            Some(Pass {
                probe_id: None,
                failed_before: known.failed_before,
                tokens: Some(Unused {
                    tokens: needed,
                    until,
                }),
                _place: None,
            })
        })
    }

    /// Notes whether the provider failed. After a failure nothing is held, so that the next request
    /// asks the breaker.
    pub(super) fn note(&self, provider: &ProviderName, failed: bool) {
        self.known(provider, |known| {
            known.failed_before = failed;
            if failed {
                known.allowance.close(Instant::now());
            }
        });
    }

    /// Whether the last request of this instance that was answered or failed had failed.
    pub(super) fn has_failed(&self, provider: &ProviderName) -> bool {
        self.known(provider, |known| known.failed_before)
    }

    fn known<T>(&self, provider: &ProviderName, with: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.lock();
        if let Some(known) = all.get_mut(provider) {
            return with(known);
        }
        with(all.entry(provider.clone()).or_insert_with(Known::new))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProviderName, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// That of a request without a budget.
    fn free() -> Self {
        Self {
            probe_id: None,
            failed_before: false,
            tokens: None,
            _place: None,
        }
    }
}

/// The budget, which is ours, has too few tokens for as long as the caller can wait.
fn used_up(provider: &dyn Provider, window: &str, wait: Duration) -> ProviderError {
    ProviderError::Paused {
        provider: provider.name().clone(),
        reason: format!("our budget of requests to it for this {window} is used up"),
        wait,
    }
}
