//! What one instance knows of one provider: its tokens, why it was turned away, and its open
//! requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::Entry;
use super::allowance::Allowance;
use crate::market::ProviderName;
use crate::provider::ProviderError;

/// How long an instance remembers that a request may not pass. Within this time it does not notice
/// that the breaker closed, for example because of another key.
pub(super) const REMEMBERED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Known {
    pub(super) allowance: Allowance,
    pub(super) failed_before: bool,
    pub(super) refused: Option<Refused>,
    /// Held by the request that asks the budget.
    pub(super) turn: Arc<Mutex<()>>,
    /// One permit for each request that may be open; `None` if any number may be.
    places: Option<Arc<Semaphore>>,
}

/// Why requests do not pass for a moment.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// Requests that need fewer tokens may pass.
    needed: u32,
    why: Why,
    /// When the reason ends.
    ends: Instant,
    forgotten_at: Instant,
}

#[derive(Clone, Debug)]
pub(super) enum Why {
    Open(String),
    Empty(String),
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            allowance: Allowance::new(Instant::now()),
            failed_before: false,
            refused: None,
            turn: Arc::default(),
            places: None,
        }
    }

    /// The places for open requests, if their number is limited.
    pub(super) fn places(&mut self, most: u32) -> Option<Arc<Semaphore>> {
        let most = usize::try_from(most).ok().filter(|_| most < u32::MAX)?;
        let places = self
            .places
            .get_or_insert_with(|| Arc::new(Semaphore::new(most)));
        Some(Arc::clone(places))
    }
}

impl Refused {
    pub(super) fn new(why: Why, needed: u32, wait: Duration, now: Instant) -> Self {
        let ends = now.checked_add(wait).unwrap_or(now + REMEMBERED);
        Self {
            needed,
            why,
            ends,
            forgotten_at: ends.min(now + REMEMBERED),
        }
    }

    /// Whether it holds at this time, for a request that needs this many tokens.
    pub(super) fn holds(&self, needed: u32, now: Instant) -> bool {
        let concerns = matches!(self.why, Why::Open(_)) || needed >= self.needed;
        concerns && self.forgotten_at > now
    }

    pub(super) fn entry(&self, provider: &ProviderName, now: Instant) -> Entry {
        let wait = self.ends.saturating_duration_since(now);
        match &self.why {
            Why::Open(reason) => Entry::Shut(ProviderError::Paused {
                provider: provider.clone(),
                reason: reason.clone(),
                wait,
            }),
            Why::Empty(window) => Entry::Empty {
                wait,
                window: window.clone(),
            },
        }
    }
}
