//! The tokens that one instance holds of one budget: taken ahead, for a second at most.

use std::time::Duration;

use tokio::time::Instant;

use crate::market::Timestamp;
use crate::provider::Limits;
use crate::repository::request_budgets::Unused;

/// Most tokens taken ahead from a budget without limits.
const MOST: u32 = 1_000;
/// The time over which an instance counts what it used, to know how much to take ahead.
const SECOND: Duration = Duration::from_secs(1);

/// What an instance holds of one budget.
#[derive(Debug)]
pub(super) struct Allowance {
    grants: Vec<Grant>,
    /// What was used since `counted_from`, and in the second before it.
    used: u32,
    used_before: u32,
    counted_from: Instant,
}

/// Tokens that were taken ahead together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) tokens: u32,
    /// Until when they may be used, by this instance's clock, and by Postgres's.
    pub(super) until: Instant,
    pub(super) until_there: Timestamp,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            grants: Vec::new(),
            used: 0,
            used_before: 0,
            counted_from: now,
        }
    }

    /// Takes the tokens of one request. Returns until when they might have been used.
    pub(super) fn take(&mut self, needed: u32, now: Instant) -> Option<Timestamp> {
        let mut grants = self.grants.iter_mut();
        let grant = grants.find(|grant| grant.until > now && grant.tokens >= needed)?;

        grant.tokens -= needed;
        let until = grant.until_there;
        self.count(needed, now);
        Some(until)
    }

    /// Adds tokens to those of earlier grants, which a request may have brought meanwhile.
    pub(super) fn add(&mut self, grant: Grant) {
        if grant.tokens > 0 {
            self.grants.push(grant);
        }
    }

    /// What may not be used any more and goes back to the budget.
    pub(super) fn unused(&mut self, now: Instant) -> Vec<Unused> {
        let over = |grant: &mut Grant| grant.until <= now;
        let unused = self.grants.extract_if(.., over);
        unused
            .filter(|grant| grant.tokens > 0)
            .map(|grant| Unused {
                tokens: grant.tokens,
                until: grant.until_there,
            })
            .collect()
    }

    /// Keeps what was to go back and did not.
    pub(super) fn keep_unused(&mut self, unused: &[Unused], now: Instant) {
        let kept = unused.iter().map(|unused| Grant {
            tokens: unused.tokens,
            until: now,
            until_there: unused.until,
        });
        self.grants.extend(kept);
    }

    /// Uses none of the tokens any more.
    pub(super) fn close(&mut self, now: Instant) {
        for grant in &mut self.grants {
            grant.until = grant.until.min(now);
        }
    }

    /// How many tokens a request takes ahead: as many as the instance used within a second, but not
    /// more than an even use of the budget gives in a second. An instance that sends one request in
    /// a second takes none: it would not come to use them.
    pub(super) fn ahead(&self, limits: &Limits, now: Instant) -> u32 {
        let rates = [
            limits.per_second,
            limits.per_minute.map(|limit| limit / 60),
            limits.per_hour.map(|limit| limit / 3_600),
            limits.per_day.map(|limit| limit / 86_400),
        ];
        let even = rates.into_iter().flatten().min().unwrap_or(MOST);

        match self.lately(now) {
            0 | 1 => 0,
            used => used.min(even).min(MOST),
        }
    }

    /// Counts tokens that were used.
    pub(super) fn count(&mut self, used: u32, now: Instant) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_millis(1_001);

    fn grant(tokens: u32, now: Instant, text: &str) -> Grant {
        Grant {
            tokens,
            until: now + SECOND,
            until_there: text.parse().unwrap(),
        }
    }

    #[test]
    fn the_tokens_of_two_requests_at_the_same_time_are_both_held_and_go_back_if_not_used() {
        let now = Instant::now();
        let (first, second) = ("2026-03-20T10:30:00Z", "2026-03-20T10:30:01Z");
        let mut allowance = Allowance::new(now);

        allowance.add(grant(2, now, first));
        allowance.add(grant(3, now, second));

        assert_eq!(allowance.take(3, now), Some(second.parse().unwrap()));
        assert_eq!(allowance.take(1, now), Some(first.parse().unwrap()));
        assert_eq!(allowance.take(2, now), None);
        assert!(allowance.unused(now).is_empty());
        assert_eq!(allowance.take(1, now + LATER), None, "they are too old");
        let unused = Unused {
            tokens: 1,
            until: first.parse().unwrap(),
        };
        assert_eq!(allowance.unused(now + LATER), [unused]);
        assert!(allowance.unused(now + LATER).is_empty(), "once");
    }

    #[test]
    fn nothing_is_taken_ahead_for_a_request_in_a_second_and_an_even_share_for_more() {
        let limits = Limits {
            per_minute: Some(300),
            ..Limits::unlimited(1)
        };
        let now = Instant::now();
        let mut allowance = Allowance::new(now);

        assert_eq!(allowance.ahead(&limits, now), 0);
        allowance.count(1, now);
        assert_eq!(allowance.ahead(&limits, now), 0);
        allowance.count(2, now);
        assert_eq!(allowance.ahead(&limits, now), 3);
        allowance.count(9, now);
        assert_eq!(allowance.ahead(&limits, now), 5);
        assert_eq!(allowance.ahead(&limits, now + 2 * LATER), 0);
    }
}
