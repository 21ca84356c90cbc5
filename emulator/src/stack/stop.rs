//! The end: no new work, then what is in flight, then the functions, then the services they need.

use std::time::Duration;

use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Stack;
use crate::signals::StopRequest;

/// How long work in flight may take before the functions are asked to end.
const SOURCES: Duration = Duration::from_millis(1500);
const FUNCTIONS: Duration = Duration::from_secs(4);
/// Once the functions have ended, the sources only have files to write.
const REMAINDER: Duration = Duration::from_secs(1);
/// The least that remains for Postgres and Kafka of the time in all.
const BACKING: Duration = Duration::from_millis(2500);

impl Stack {
    /// Ends everything that was started, within 10 s in all.
    pub(super) async fn stop(self) {
        let deadline = StopRequest::deadline();
        let hurry = self.request.hurry;

        // Sources before functions, so that an invocation in flight can still be answered.
        self.no_new_work.cancel();
        self.sources.close();
        finish(&self.sources, SOURCES, &hurry).await;

        if let Some(functions) = self.functions {
            let ended = functions.stop(FUNCTIONS, &hurry);
            if timeout_at(deadline - BACKING, ended).await.is_err() {
                tracing::warn!("functions are left that do not end");
            }
        }

        // The sources whose invocation ended with the functions. Work that is interrupted here was
        // not answered, so the next start delivers it again.
        finish(&self.sources, REMAINDER, &hurry).await;

        // Last: functions and mappings use both until their end.
        let broker = async {
            if let Some(broker) = self.broker {
                broker.stop(deadline).await;
            }
        };
        let postgres = async {
            if let Some(postgres) = self.postgres {
                postgres.stop(deadline).await;
            }
        };

        tokio::join!(broker, postgres);
    }
}

async fn finish(sources: &TaskTracker, patience: Duration, hurry: &CancellationToken) {
    tokio::select! {
        _ = timeout(patience, sources.wait()) => {}
        () = hurry.cancelled() => {}
    }
}
