//! The end: no new work, then what is in flight, then the functions, then what they need.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Stack;
use crate::function_host::FunctionHost;

/// What is in flight is given this long before the functions are told to end.
const SOURCES: Duration = Duration::from_millis(1500);
const FUNCTIONS: Duration = Duration::from_secs(4);
/// Once the functions are gone there is nothing left to wait for but files to be written.
const REMAINDER: Duration = Duration::from_secs(1);

impl Stack {
    /// Ends everything that was started, within 10 s in all.
    pub(super) async fn stop(self) {
        let hurry = self.request.hurry;
        self.no_new_work.cancel();
        self.sources.close();
        finish(&self.sources, SOURCES, &hurry).await;
        if let Some(functions) = self.host {
            end(&functions.get(), &hurry).await;
        }
        // What is broken off here was not answered, so it is delivered again by the next start.
        finish(&self.sources, REMAINDER, &hurry).await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }
}

async fn finish(sources: &TaskTracker, patience: Duration, hurry: &CancellationToken) {
    tokio::select! {
        _ = timeout(patience, sources.wait()) => {}
        () = hurry.cancelled() => {}
    }
}

async fn end(functions: &FunctionHost, hurry: &CancellationToken) {
    tokio::select! {
        () = functions.stop(FUNCTIONS) => {}
        () = hurry.cancelled() => functions.stop(Duration::ZERO).await,
    }
}
