//! Time, as far as a relay waits for it.

use async_trait::async_trait;
use chrono::Utc;
use shared::market::Timestamp;

/// Tells the time, and waits for one.
#[async_trait]
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// The present.
    fn now(&self) -> Timestamp;

    /// Returns once it is `time`.
    async fn wait_until(&self, time: Timestamp);
}

/// The clock on the wall.
#[derive(Clone, Copy, Debug)]
pub struct WallClock;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Utc::now()
    }

    async fn wait_until(&self, time: Timestamp) {
        // Repeated, because the wall clock may be set, and timers go by another one.
        while let Ok(remaining) = (time - Utc::now()).to_std() {
            if remaining.is_zero() {
                return;
            }
            tokio::time::sleep(remaining).await;
        }
    }
}
