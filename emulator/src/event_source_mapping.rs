//! Lambda's poller for Kafka: a consumer group whose records become invocations.
//!
//! A thread gathers records into batches ([`collector`]); a task hands one batch after the other to the function and
//! commits its offsets only once every record was processed or is a dead letter ([`delivery`]). So each record is
//! delivered at least once, in the order of its partition.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::invoker::Invoker;
use crate::template::EventSourceMapping;

mod batch;
mod collector;
mod commit;
mod consumer;
mod dead_letters;
mod delivery;
mod invocation;
mod response;
mod retry;
#[cfg(test)]
mod tests;

use batch::EventHead;
use collector::Collector;
use dead_letters::DeadLetters;
use delivery::Delivery;

/// Longest wait for the group to be left.
const LEAVING: Duration = Duration::from_secs(2);

/// Reads the topic until stopped. `ready` is told when the group has given out its partitions for the first time.
///
/// At the stop no new work is taken; what is in flight is finished and committed, and the group is left.
///
/// # Errors
/// When the Kafka client cannot be made, or its thread ends on its own. A broker or topic that is away is waited for.
pub(crate) async fn run(
    definition: EventSourceMapping,
    bootstrap_servers: String,
    invoker: Arc<dyn Invoker>,
    ready: oneshot::Sender<()>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let consumer = Arc::new(consumer::join(&definition, &bootstrap_servers, ready)?);
    let dead_letters =
        DeadLetters::open(&definition, &bootstrap_servers).context("cannot make the Kafka producer")?;
    let (sender, batches) = mpsc::channel(1);
    let (idle, done) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
    let collector = Collector {
        consumer: Arc::clone(&consumer),
        batch_size: definition.batch_size,
        batching_window: definition.batching_window,
        batches: sender,
        idle: Arc::clone(&idle),
        stop: stop.clone(),
        done: done.clone(),
    };
    let gathering = tokio::task::spawn_blocking(move || collector.run());
    let head = EventHead::new(&definition.event_source_arn, &bootstrap_servers);
    let finished = done.drop_guard();
    Box::pin(Delivery { definition, head, invoker, consumer, dead_letters, stop }.run(batches, &idle)).await;
    drop(finished);
    // Without a broker the client takes longer to leave the group; nothing depends on it.
    match tokio::time::timeout(LEAVING, gathering).await {
        Ok(ended) => ended.context("the thread that reads from Kafka ended"),
        Err(_) => Ok(()),
    }
}
