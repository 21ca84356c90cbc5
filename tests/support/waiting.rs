//! Waiting for a condition, with a deadline, instead of sleeping in the hope that it is enough.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Asks `condition` until it gives something, for `patience` at most.
///
/// # Panics
/// When it never does; the message names `what` was waited for.
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
