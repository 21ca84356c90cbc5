//! The end: no new work, then what is in flight, then the functions, then what they need.

use std::time::Duration;

use tokio::time::timeout;

use super::Stack;

/// What is in flight is given this long before the functions are told to end.
const SOURCES: Duration = Duration::from_millis(1500);
const FUNCTIONS: Duration = Duration::from_secs(4);
/// Once the functions are gone there is nothing left to wait for but files to be written.
const REMAINDER: Duration = Duration::from_secs(1);

impl Stack {
    /// Ends everything that was started, within 10 s in all.
    pub(super) async fn stop(self) {
        self.no_new_work.cancel();
        self.sources.close();
        let hurry = self.request.hurry.clone();
        tokio::select! {
            _ = timeout(SOURCES, self.sources.wait()) => {}
            () = hurry.cancelled() => {}
        }
        if let Some(host) = self.host {
            let host = host.get();
            tokio::select! {
                () = host.stop(FUNCTIONS) => {}
                () = hurry.cancelled() => host.stop(Duration::ZERO).await,
            }
        }
        if timeout(REMAINDER, self.sources.wait()).await.is_err() {
            tracing::warn!("some work in flight was broken off");
        }
        drop(self.broker);
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }
}
