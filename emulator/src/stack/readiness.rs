//! Whether requests pass through the gateway, the api and what the api needs.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

/// The first pause between two requests, which doubles up to the longest: each failed request is
/// logged by the api.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Waits up to `patience` until a request succeeds.
pub(super) async fn wait(
    client: &reqwest::Client,
    gateway: &str,
    patience: Duration,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let mut pause = PAUSES.0;

    loop {
        let response = client.get(format!("{gateway}/health")).send().await;
        let failure = match response.map(reqwest::Response::error_for_status) {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(failure)) | Err(failure) => failure,
        };

        if Instant::now() > deadline {
            return Err(failure).context("no request goes through");
        }

        sleep(pause).await;
        pause = PAUSES.1.min(pause * 2);
    }
}
