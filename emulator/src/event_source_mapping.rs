//! Lambda's poller for Kafka: a consumer group whose records become invocations.
//!
//! A thread gathers records into batches ([`collector`]), in lanes that share out the partitions ([`lane`]). The batches
//! of a lane go to the function one after the other ([`delivery`]), and their offsets are committed only once every
//! record was processed or is a dead letter ([`commit`]). So each record is delivered at least once, in the order of its
//! partition.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot;
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
mod lane;
mod open_batch;
mod response;
mod retry;
#[cfg(test)]
mod tests;

use batch::EventHead;
use collector::Collector;
use commit::Committer;
use consumer::Ready;
use dead_letters::DeadLetters;
use delivery::Delivery;

/// Invocations that AWS's poller runs at a time, at most
/// (<https://docs.aws.amazon.com/lambda/latest/dg/kafka-scaling-modes.html>).
const MOST_INVOCATIONS: usize = 5;

/// Invocations at a time on this machine: more than it has cores would only hold more in memory.
pub(crate) fn concurrency() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_INVOCATIONS))
}

/// Where a mapping reads, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// The brokers.
    pub(crate) bootstrap_servers: String,
    /// The name by which Kafka knows this member again after a restart, so that its partitions wait for it instead of
    /// for the end of its old session; without one it is a new member each time.
    pub(crate) member: Option<String>,
    /// Invocations at a time.
    pub(crate) concurrency: usize,
}

/// From the end of one membership in the group to the next.
const BEFORE_JOINING_AGAIN: Duration = Duration::from_secs(1);

/// Longest wait for the group to be left.
const LEAVING: Duration = Duration::from_secs(2);

/// Reads the topic until stopped. `ready` is told when the group has given out its partitions for the first time.
///
/// At the stop no new work is taken; what is in flight is finished and committed, and the group is left by a member
/// without a name. One with a name keeps its partitions for as long as its session would have lasted.
///
/// # Errors
/// When the Kafka client cannot be made, or its thread ends on its own. A broker or topic that is away is waited for.
pub(crate) async fn run(
    definition: EventSourceMapping,
    reader: Reader,
    invoker: Arc<dyn Invoker>,
    ready: oneshot::Sender<()>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // The first membership that gets partitions tells, which need not be the first.
    let ready = Arc::new(Mutex::new(Some(ready)));
    loop {
        let membership = stop.child_token();
        read(&definition, &reader, Arc::clone(&invoker), Arc::clone(&ready), membership).await?;
        if stop.run_until_cancelled(tokio::time::sleep(BEFORE_JOINING_AGAIN)).await.is_none() {
            return Ok(());
        }
        tracing::warn!(id = definition.id, "the consumer could not go on; joining the group anew");
    }
}

/// Reads as one member of the group until `end`, which comes from here when the client has met an error for good: a
/// member with a name is shut out when Kafka's answer to its joining was lost.
async fn read(
    definition: &EventSourceMapping,
    reader: &Reader,
    invoker: Arc<dyn Invoker>,
    ready: Ready,
    end: CancellationToken,
) -> anyhow::Result<()> {
    let consumer = Arc::new(consumer::join(definition, reader, ready)?);
    let dead_letters =
        DeadLetters::open(definition, &reader.bootstrap_servers).context("cannot make the Kafka producer")?;
    let left = CancellationToken::new();
    let (collector, lanes) = Collector::new(
        Arc::clone(&consumer),
        reader.concurrency,
        definition.batch_size,
        definition.batching_window,
        end.clone(),
        left.clone(),
    );
    let gathering = tokio::task::spawn_blocking(move || collector.run());
    let delivery = Delivery {
        definition: definition.clone(),
        head: EventHead::new(&definition.event_source_arn, &reader.bootstrap_servers),
        invoker,
        committer: Committer::new(Arc::clone(&consumer)),
        consumer,
        dead_letters,
        stop: end,
    };
    let leave = left.drop_guard();
    Box::pin(delivery.run(lanes)).await;
    drop(delivery);
    drop(leave);
    // Without a broker the client takes longer to leave the group; nothing depends on it.
    match tokio::time::timeout(LEAVING, gathering).await {
        Ok(ended) => ended.context("the thread that reads from Kafka ended"),
        Err(_) => Ok(()),
    }
}
