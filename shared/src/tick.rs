//! When a job is polled: its ticks, the firings of its schedule, and how long it backs off after
//! failures.

use std::time::Duration;

use chrono::TimeDelta;

use crate::market::Timestamp;

/// The shortest interval that EventBridge Scheduler supports.
pub const MINUTE_SECONDS: u32 = 60;
/// Bounds, in seconds, of a firing's age until it is delivered; between them the interval applies.
const DELIVERY_AGE: (u32, u32) = (120, 3_600);
/// Longest back-off after consecutive failures, unless the job's own interval is longer.
pub const LONGEST_BACK_OFF: Duration = Duration::from_secs(5 * 60);
/// Longest pause that a job makes because a provider asks for one. The provider's breaker, which
/// costs no request, makes the longer ones, and ends at once where a job would not notice.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// The instants `start` + k × interval, for k from 0.
///
/// ```
/// use shared::market::Timestamp;
/// use shared::tick::Grid;
///
/// let at = |text: &str| text.parse::<Timestamp>();
/// let start = at("2026-01-01T00:00:00Z")?;
/// let ticks = Grid::new(start, 10);
/// assert_eq!(ticks.next_after(start), at("2026-01-01T00:00:10Z")?);
///
/// // EventBridge Scheduler knows whole minutes only, so the schedule fires once a minute.
/// assert!(ticks.is_relayed());
/// assert_eq!(ticks.firings().next_after(start), at("2026-01-01T00:01:00Z")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    start: Timestamp,
    interval_seconds: u32,
}

/// Consecutive ticks that no poller polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub first: Timestamp,
    /// The number of ticks, at least one.
    pub ticks: i64,
}

impl Grid {
    /// The ticks of a job. An interval of 0 counts as 1.
    #[must_use]
    pub fn new(start: Timestamp, interval_seconds: u32) -> Self {
        Self {
            start,
            interval_seconds: interval_seconds.max(1),
        }
    }

    /// Whether the schedule cannot express the interval, so that each firing serves the ticks until
    /// the next one.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        is_relayed(self.interval_seconds)
    }

    /// The firings of the schedule: the ticks themselves or, if they are relayed, one a minute.
    #[must_use]
    pub fn firings(&self) -> Self {
        if self.is_relayed() {
            Self {
                interval_seconds: MINUTE_SECONDS,
                ..*self
            }
        } else {
            *self
        }
    }

    /// The newest instant not after `now`; `None` before the start.
    #[must_use]
    pub fn newest_at(&self, now: Timestamp) -> Option<Timestamp> {
        let elapsed = (now - self.start).num_microseconds()?;
        (elapsed >= 0).then(|| self.instant(elapsed / self.step()))
    }

    /// The first instant after `now`.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Timestamp {
        self.newest_at(now)
            .map_or(self.start, |newest| newest + self.interval())
    }

    /// The first instant not before `now`.
    #[must_use]
    pub fn next_from(&self, now: Timestamp) -> Timestamp {
        match self.newest_at(now) {
            Some(newest) if newest == now => newest,
            _ => self.next_after(now),
        }
    }

    /// Whether `time` is an instant of the grid.
    #[must_use]
    pub fn has(&self, time: Timestamp) -> bool {
        self.newest_at(time) == Some(time)
    }

    /// The instants after `last`, or from the start if there is no `last`, and before `end`.
    #[must_use]
    pub fn gap(&self, last: Option<Timestamp>, end: Timestamp) -> Option<Gap> {
        let first = last.map_or(self.start, |last| self.next_after(last));
        let ticks = ((end - first).num_microseconds()? + self.step() - 1).div_euclid(self.step());
        (ticks > 0).then_some(Gap { first, ticks })
    }

    /// The last instant of a gap on this grid.
    #[must_use]
    pub fn last_of(&self, gap: Gap) -> Timestamp {
        gap.first + TimeDelta::microseconds(self.step().saturating_mul(gap.ticks - 1))
    }

    fn interval(&self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.interval_seconds))
    }

    fn step(&self) -> i64 {
        i64::from(self.interval_seconds) * 1_000_000
    }

    fn instant(&self, index: i64) -> Timestamp {
        self.start + TimeDelta::microseconds(self.step().saturating_mul(index))
    }
}

/// Whether EventBridge cannot express the interval: it supports whole minutes only.
#[must_use]
pub fn is_relayed(interval_seconds: u32) -> bool {
    !interval_seconds.is_multiple_of(MINUTE_SECONDS)
}

/// How long EventBridge tries to deliver a firing.
#[must_use]
pub fn delivery_age(interval_seconds: u32) -> TimeDelta {
    let (least, most) = DELIVERY_AGE;
    TimeDelta::seconds(i64::from(interval_seconds.clamp(least, most)))
}

/// The next whole second after `created_at`: a job's first tick.
#[must_use]
pub fn start_after(created_at: Timestamp) -> Timestamp {
    let whole = created_at.timestamp() + 1;
    Timestamp::from_timestamp(whole, 0).unwrap_or(created_at)
}

/// The time until which ticks are skipped after the `failures`-th consecutive failed run, which
/// finished at `now`.
///
/// The first failure skips no tick. Each further one doubles the pause, up to the greater of the
/// interval and [`LONGEST_BACK_OFF`]. `jitter`, a random number, shortens a pause of several
/// intervals by up to a fifth, so that jobs which failed together do not all return together. A
/// provider that limits our requests gets at least the pause that it asked for.
#[must_use]
pub fn back_off(
    grid: &Grid,
    failures: u32,
    retry_after: Option<Duration>,
    jitter: u64,
    now: Timestamp,
) -> Timestamp {
    let interval = Duration::from_secs(u64::from(grid.interval_seconds));
    let doubled = interval.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    let longest = doubled.min(LONGEST_BACK_OFF.max(interval));

    let thousandths = u32::try_from(jitter % 200).unwrap_or_default();
    let pause = (longest - longest * thousandths / 1_000).max(interval);

    let counted_from = grid.newest_at(now).unwrap_or(now);
    let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);

    (counted_from + pause).max(now + asked)
}

#[cfg(test)]
mod tests;
