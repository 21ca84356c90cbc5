//! The clock that tells a poller the time and lets it wait. Tests replace it.

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

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Utc::now()
    }

    async fn wait_until(&self, time: Timestamp) {
        // Repeated, because the system's clock may be set while the timer, which is monotonic,
        // runs.
        while let Ok(remaining) = (time - Utc::now()).to_std() {
            if remaining.is_zero() {
                return;
            }
            tokio::time::sleep(remaining).await;
        }
    }
}
