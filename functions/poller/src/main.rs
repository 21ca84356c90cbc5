//! The poller's Lambda function: invoked by the schedules of polling jobs, and by the API.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn, spawn_graceful_shutdown_handler};
use poller::clock::WallClock;
use poller::limits::deadline;
use poller::{Event, FiringError, Poller};
use shared::instruments::Instruments;
use shared::price_log::kafka::KafkaPriceLog;
use shared::provider::{Providers, Spellings};
use shared::{config, repository, telemetry};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::util::MapFutureLayer;

/// Connections to Postgres: the ticks that a relay serves at the same time share them. They are
/// opened as needed.
const CONNECTIONS: u32 = 4;
/// Longest that a poll in progress delays the end of the process.
const LAST_POLL: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = config::or_exit(config::Poller::from_environment());

    let stopping = CancellationToken::new();
    let pool = repository::connect(&config.database.url, CONNECTIONS)?;
    let spellings: Arc<dyn Spellings> = Arc::new(Instruments::new(pool.clone()));
    let poller = Poller {
        providers: Providers::new(&config.providers).spelled_by(&spellings),
        pool,
        instance: Arc::default(),
        price_log: Arc::new(KafkaPriceLog::new(&config.kafka)),
        clock: Arc::new(WallClock),
        relay_jobs: config.relay_jobs,
        stopping: stopping.clone(),
    };

    let in_flight = TaskTracker::new();
    end_gracefully(stopping, in_flight.clone()).await;

    let handler = service_fn(move |event: LambdaEvent<Event>| {
        let poller = poller.clone();
        async move {
            let deadline = deadline(event.context.deadline, Utc::now());
            poller
                .handle(&event.payload, deadline)
                .await
                .inspect_err(log)
        }
    });

    // The tracker is the outermost layer: an invocation is in flight until its answer is posted.
    Runtime::new(handler)
        .layer(TracingLayer::new())
        .layer(MapFutureLayer::new(move |invocation| {
            in_flight.track_future(invocation)
        }))
        .run()
        .await
}

/// On SIGTERM, a relay that waits fails at once, so that its firing comes again. A poll in progress
/// is finished first, for up to [`LAST_POLL`].
async fn end_gracefully(stopping: CancellationToken, in_flight: TaskTracker) {
    spawn_graceful_shutdown_handler(move || async move {
        stopping.cancel();
        in_flight.close();
        // After this time the process ends anyway.
        let _ = tokio::time::timeout(LAST_POLL, in_flight.wait()).await;
    })
    .await;
}

/// Logs an error, except a stop while a relay waits: that is no failure, because the firing comes
/// again.
fn log(error: &FiringError) {
    if !matches!(error, FiringError::Stopping) {
        tracing::error!(%error, "firing not served");
    }
}
