//! Lambda's poller for Kafka: a consumer group whose records become invocations.
//!
//! A thread gathers records into batches ([`collector`]), in lanes that share out the partitions
//! ([`lane`]). The batches of a lane go to the function one after the other ([`delivery`]), and
//! their offsets are committed only once every record was processed or is a dead letter
//! ([`commit`]). So each record is delivered at least once, in the order of its partition.

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
mod partitions;
mod received;
mod report;
mod response;
mod retry;
mod status;
mod supervisor;
#[cfg(test)]
mod tests;
mod timing;
mod watch;

pub(crate) use report::Report;
pub(crate) use status::Status;

use batch::EventHead;
use collector::Collector;
use commit::Committer;
use consumer::{Consumer, Ready};
use dead_letters::DeadLetters;
use delivery::Delivery;
use invocation::Target;

/// Invocations that one of AWS's pollers runs at a time, at most
/// (<https://docs.aws.amazon.com/lambda/latest/dg/kafka-scaling-modes.html>). The emulator is one
/// poller. The template's `MaximumPollers` says how many of them AWS may start, up to one for each
/// partition.
const MOST_INVOCATIONS: usize = 5;

/// Invocations at a time on this machine. More than one per core would only hold more in memory.
pub(crate) fn concurrency() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_INVOCATIONS))
}

/// Where a mapping reads, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// Kafka's `bootstrap.servers`: a list of `host:port`, separated by commas.
    pub(crate) bootstrap_servers: String,
    /// The name by which Kafka recognises this member after a restart, so that it gets its
    /// partitions back as soon as it rejoins. Without a name, each start is a new member, which
    /// waits until the old one's session has expired.
    pub(crate) member: Option<String>,
    /// Number of lanes, which is how many invocations run at a time.
    pub(crate) concurrency: usize,
}

/// Longest wait for the client to leave the group.
const LEAVING: Duration = Duration::from_secs(2);

/// Reads the topic until `mapping_end`. Signals `ready` when the group has assigned its partitions
/// for the first time, and keeps `status` up to date. If the reader ends for any other reason,
/// another one replaces it ([`supervisor`]).
///
/// After `mapping_end`, no new batch is taken. Batches in flight are finished and committed. Then a
/// member without a name leaves the group. One with a name keeps its partitions until its session
/// expires.
pub(crate) async fn run(
    definition: EventSourceMapping,
    reader: Reader,
    invoker: Arc<dyn Invoker>,
    ready: oneshot::Sender<()>,
    status: Arc<Status>,
    mapping_end: CancellationToken,
) {
    // The first reader that gets partitions takes the sender; readers before it may have failed.
    let ready = Arc::new(Mutex::new(Some(ready)));
    let start = || {
        let (definition, reader) = (definition.clone(), reader.clone());
        let (invoker, status) = (Arc::clone(&invoker), Arc::clone(&status));
        read(
            definition,
            reader,
            invoker,
            Arc::clone(&ready),
            status,
            mapping_end.child_token(),
        )
    };

    supervisor::keep_running(&status, &mapping_end, supervisor::pauses(), start).await;
}

/// Reads as one member of the group until `reader_end`, which the mapping's end cancels. The
/// collector cancels it, too, when the client meets a fatal error: Kafka fences a member with a
/// name whose answer to its joining was lost.
async fn read(
    definition: EventSourceMapping,
    reader: Reader,
    invoker: Arc<dyn Invoker>,
    ready: Ready,
    status: Arc<Status>,
    reader_end: CancellationToken,
) -> anyhow::Result<()> {
    let clients = {
        let (definition, reader) = (definition.clone(), reader.clone());
        let status = Arc::clone(&status);
        move || open(&definition, &reader, ready, status)
    };
    // A client that is dropped because the other could not be made blocks its thread.
    let (consumer, dead_letters) = tokio::task::spawn_blocking(clients)
        .await
        .context("the thread that makes the Kafka clients ended")??;

    let commits_end = CancellationToken::new();
    let (collector, lanes) = Collector::new(
        Arc::clone(&consumer),
        reader.concurrency,
        definition.batch_size,
        definition.batching_window,
        reader_end.clone(),
        commits_end.clone(),
    );

    // Dropping these guards ends the collector and the watch, however this function returns.
    let commits_end = commits_end.drop_guard();
    let _reader_end = reader_end.clone().drop_guard();

    let gathering = tokio::task::spawn_blocking(move || collector.run());
    tokio::spawn(watch::run(
        Arc::downgrade(&consumer),
        Arc::clone(&status),
        reader_end.clone(),
    ));

    let target = Target {
        head: EventHead::new(&definition.event_source_arn, &reader.bootstrap_servers),
        definition,
        invoker,
        status,
        reader_end,
    };
    let committer = Committer::new(Arc::clone(&consumer));
    let delivery = Delivery {
        target,
        consumer,
        committer,
        dead_letters,
    };

    Box::pin(delivery.run(lanes)).await;

    let leaving = async {
        // The last owner to drop the consumer blocks until the client has left the group.
        let _dropped = tokio::task::spawn_blocking(move || drop(delivery)).await;
        // Only after the last commit: until then the collector's polls keep the partitions.
        drop(commits_end);
        gathering.await
    };

    // Leaving takes longer without a broker, and nothing depends on it.
    match tokio::time::timeout(LEAVING, leaving).await {
        Ok(ended) => ended.context("the thread that reads from Kafka ended"),
        Err(_) => Ok(()),
    }
}

/// Makes the mapping's producer, if it needs one, and joins the group. The producer comes first, so
/// that its failure causes no rebalance.
fn open(
    definition: &EventSourceMapping,
    reader: &Reader,
    ready: Ready,
    status: Arc<Status>,
) -> anyhow::Result<(Arc<Consumer>, Option<DeadLetters>)> {
    let dead_letters = DeadLetters::open(definition, &reader.bootstrap_servers)
        .context("cannot make the Kafka producer")?;
    let consumer = consumer::join(definition, reader, ready, status)?;

    Ok((Arc::new(consumer), dead_letters))
}
