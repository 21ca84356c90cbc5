//! The clock that tells a poller the time and lets it wait. Tests replace it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use shared::market::Timestamp;

/// A source of the current time that can be waited on.
#[async_trait]
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// Returns once it is `time`; at once if `time` has passed.
    async fn wait_until(&self, time: Timestamp);
}

/// How late a wait may end after the clock was set or the machine was suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Utc::now()
    }

    async fn wait_until(&self, time: Timestamp) {
        // In short sleeps, because the timer is monotonic: it does not notice that the clock was
        // set or that the machine was suspended.
        while let Ok(remaining) = (time - Utc::now()).to_std() {
            if remaining.is_zero() {
                return;
            }
            tokio::time::sleep(remaining.min(LONGEST_SLEEP)).await;
        }
    }
}
