//! The clock that deliveries wait for: the system's, or one that a test moves.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

/// A moment in UTC.
pub(crate) type Timestamp = DateTime<Utc>;

/// The longest single sleep. A machine that resumes from suspension, and a clock that was set, are
/// noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The current time, and waiting for a time.
pub(crate) trait Clock: fmt::Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// Completes once `moment` is not in the future.
    fn sleep_until(&self, moment: Timestamp) -> BoxFuture<'_, ()>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Utc::now()
    }

    fn sleep_until(&self, moment: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            while let Ok(left) = (moment - self.now()).to_std() {
                if left.is_zero() {
                    break;
                }
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
            }
        })
    }
}
