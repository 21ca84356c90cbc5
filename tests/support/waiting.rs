//! Waits for a condition with a deadline, instead of sleeping for a time that is hopefully enough.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Calls `condition` until it returns a value, for at most `patience`.
///
/// # Panics
/// When it returns none in that time; the message names `what` was missing.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;

    loop {
        if let Some(result) = condition().await {
            return result;
        }

        assert!(
            Instant::now() < deadline,
            "after {patience:?} there is still no {what}"
        );

        sleep(BETWEEN_LOOKS).await;
    }
}
