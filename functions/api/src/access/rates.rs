//! How often each key is used: its budget in Postgres, shared by all instances, and what this
//! instance has taken of it.
//!
//! An instance that answers several requests in a row takes requests ahead, for a second at most, and
//! for a tenth of that if the key has a limit per second. It also remembers that nothing is left. So
//! a busy key costs much less than a statement for each request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use shared::access::{KeyId, RateLimits};
use shared::repository::api_keys::ApiKey;
use shared::repository::api_keys::budget::{self, Granted, Unused, Use};
use sqlx::PgPool;
use tokio::time::Instant;

use super::Refused;
use super::standing::Standing;
use crate::deadline;
use crate::problem::Problem;

/// The time over which an instance counts what it used, to know how much to take ahead.
const SECOND: Duration = Duration::from_secs(1);
/// Longest that an instance remembers that nothing is left.
const REMEMBERED: Duration = SECOND;
/// Most keys that are known at a time.
const MOST: usize = 1_000;

/// What this instance has of each key's budget.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<KeyId, Held>>);

/// What this instance has of one budget.
#[derive(Debug)]
struct Held {
    /// Requests that were taken ahead, until when they may be used, by this instance's clock and by
    /// Postgres's.
    ahead: Option<(u32, Instant, Unused)>,
    /// What each window had left when Postgres was asked last.
    remaining: [Option<u32>; 4],
    /// When a request comes back, and until when that is remembered.
    refused: Option<(Instant, Instant)>,
    /// What was used since `counted_from`, and in the second before it.
    used: u32,
    used_before: u32,
    counted_from: Instant,
}

impl Rates {
    /// Takes a request of the key's budget. Returns how the key stands, if it has limits.
    ///
    /// # Errors
    /// If nothing is left, or Postgres has to be asked and does not answer.
    pub(super) async fn take(
        &self,
        db: &PgPool,
        key: &ApiKey,
    ) -> Result<Option<Standing>, Refused> {
        if key.limits.is_unlimited() {
            return Ok(None);
        }

        // Before the statement is sent: requests are kept too short rather than too long.
        let asked_at = Instant::now();
        if let Some(known) = self.held(key.id, asked_at, |held| held.take(key, asked_at)) {
            return known.map(Some);
        }

        let (ahead, unused) = self.held(key.id, asked_at, |held| {
            (
                held.wanted_ahead(key.limits, asked_at),
                held.unused(asked_at),
            )
        });
        let unused: Vec<Unused> = unused.into_iter().collect();
        let wish = Use {
            key: key.id,
            limits: key.limits,
            wanted: ahead.saturating_add(1),
            unused: &unused,
            moment: None,
        };
        let granted = deadline::postgres(budget::take(db, &wish)).await?;

        self.held(key.id, asked_at, |held| {
            held.learn(key, &granted, &unused, asked_at)
        })
        .map(Some)
    }

    fn held<T>(&self, id: KeyId, now: Instant, then: impl FnOnce(&mut Held) -> T) -> T {
        let mut keys = self.keys();
        if keys.len() >= MOST && !keys.contains_key(&id) {
            keys.retain(|_, held| now.duration_since(held.counted_from) < 2 * SECOND);
        }

        then(keys.entry(id).or_insert_with(|| Held::new(now)))
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<KeyId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new(now: Instant) -> Self {
        Self {
            ahead: None,
            remaining: [None; 4],
            refused: None,
            used: 0,
            used_before: 0,
            counted_from: now,
        }
    }

    /// Takes a request that was taken ahead, or refuses it as Postgres did a moment ago. `None` if
    /// Postgres has to be asked.
    fn take(&mut self, key: &ApiKey, now: Instant) -> Option<Result<Standing, Refused>> {
        if let Some((requests, until, unused)) = &mut self.ahead
            && *until > now
            && *requests > 0
        {
            *requests -= 1;
            unused.requests = *requests;
            self.count(now);
            return Some(Ok(self.standing(key.limits)));
        }

        let (back_at, _) = self.refused.filter(|(_, until)| *until > now)?;
        let wait = back_at.saturating_duration_since(now);
        Some(Err(self.refusal(key, wait)))
    }

    /// How many requests to take ahead: as many as were used within a second, but not more than an
    /// even use of the budget gives in a second. An instance that answers one request in a second
    /// takes none: it would not come to use them.
    fn wanted_ahead(&self, limits: RateLimits, now: Instant) -> u32 {
        let even = limits.each().map(|(limit, seconds)| limit / seconds).min();
        let lately = if now.duration_since(self.counted_from) < 2 * SECOND {
            self.used.max(self.used_before)
        } else {
            0
        };

        match lately {
            0 | 1 => 0,
            used => used.min(even.unwrap_or(0)),
        }
    }

    /// What was taken ahead and cannot be used any more.
    fn unused(&mut self, now: Instant) -> Option<Unused> {
        let (_, _, unused) = self.ahead.take_if(|(_, until, _)| *until <= now)?;
        Some(unused).filter(|unused| unused.requests > 0)
    }

    /// Remembers what Postgres said.
    fn learn(
        &mut self,
        key: &ApiKey,
        granted: &Granted,
        unused: &[Unused],
        asked_at: Instant,
    ) -> Result<Standing, Refused> {
        self.remaining = granted.remaining;

        if granted.requests == 0 {
            let back_at = asked_at + granted.wait;
            self.refused = Some((back_at, back_at.min(asked_at + REMEMBERED)));
            // It was not given back, so it is offered again.
            if let (None, Some(unused)) = (&self.ahead, unused.first()) {
                self.ahead = Some((0, asked_at, *unused));
            }
            return Err(self.refusal(key, granted.wait));
        }

        let ahead = granted.requests - 1;
        let valid_for = TimeDelta::from_std(granted.valid_for).unwrap_or_default();
        self.refused = None;
        self.ahead = (ahead > 0).then(|| {
            let unused = Unused {
                requests: ahead,
                until: granted.taken_at + valid_for,
            };
            (ahead, asked_at + granted.valid_for, unused)
        });
        self.count(asked_at);
        Ok(self.standing(key.limits))
    }

    fn standing(&self, limits: RateLimits) -> Standing {
        let ahead = self.ahead.as_ref().map_or(0, |(requests, ..)| *requests);
        Standing::of(limits, self.remaining, ahead)
    }

    fn refusal(&self, key: &ApiKey, wait: Duration) -> Refused {
        let standing = Standing::of(key.limits, self.remaining, 0).refused_for(wait);
        Refused {
            problem: Problem::too_many_requests(key, wait),
            standing: Some(Box::new(standing)),
        }
    }

    /// Counts a request that was used.
    fn count(&mut self, now: Instant) {
        let since = now.duration_since(self.counted_from);
        if since >= SECOND {
            self.used_before = if since < 2 * SECOND { self.used } else { 0 };
            self.used = 0;
            self.counted_from = now;
        }
        self.used = self.used.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_takes_ahead_what_it_used_within_a_second_and_at_most_an_even_share() {
        let now = Instant::now();
        let limits: RateLimits = "300/min".parse().unwrap();
        let mut held = Held::new(now);

        for (used, expected) in [(0, 0), (1, 0), (3, 3), (9, 5)] {
            held.used = used;
            assert_eq!(held.wanted_ahead(limits, now), expected, "{used}");
        }
        assert_eq!(held.wanted_ahead(limits, now + 2 * SECOND), 0);
    }

    #[test]
    fn what_was_taken_ahead_is_used_until_its_time_and_the_rest_is_given_back_once() {
        let now = Instant::now();
        let until = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut held = Held::new(now);
        held.ahead = Some((3, now + SECOND, Unused { requests: 3, until }));

        assert_eq!(held.unused(now), None);
        assert_eq!(
            held.unused(now + SECOND),
            Some(Unused { requests: 3, until })
        );
        assert_eq!(held.unused(now + SECOND), None);
    }
}
