//! One run: a dirty stream, faults at random moments while it flows, and the check.

use std::fmt;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::check::{Checked, caught_up, check, check_averages};
use super::fault::{Fault, moment};
use super::publisher::{Acknowledged, Publisher};
use super::site::{Ground, Site, Wiring};
use super::stream::Stream;

/// What a run does in addition to publishing.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name in reports and errors.
    pub name: &'static str,
    /// The faults, in their order.
    pub faults: Vec<Fault>,
    /// The consumer group of each stack. Stacks of one group share the partitions; each group gets
    /// every record.
    pub groups: &'static [&'static str],
    /// How its stacks are wired.
    pub wiring: Wiring,
    /// Whether a new group reads the whole topic again at the end.
    pub replay: bool,
    /// The codec that compresses the stream.
    pub codec: &'static str,
}

impl Case {
    /// A case of faults on a single stack.
    #[must_use]
    pub fn of(name: &'static str, faults: Vec<Fault>) -> Self {
        Self {
            name,
            faults,
            groups: &["averager"],
            wiring: Wiring::default(),
            replay: false,
            codec: "none",
        }
    }

    /// A case of three faults that the seed chooses, on one or two stacks.
    #[must_use]
    pub fn mixed(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed ^ 0x6d69_7865_6421);

        let faults = Fault::MIXED
            .choose_multiple(&mut random, 3)
            .copied()
            .collect();

        let groups: &[&str] = if random.random_bool(0.25) {
            &["averager", "averager"]
        } else {
            &["averager"]
        };

        let replay = random.random_bool(0.25);
        let codec = ["none", "gzip", "snappy", "lz4", "zstd"]
            .choose(&mut random)
            .copied()
            .unwrap_or("none");

        Self {
            groups,
            replay,
            codec,
            ..Self::of("a mixture", faults)
        }
    }

    /// Whether points are lost that only a replay brings back.
    fn loses_points(&self) -> bool {
        self.faults.contains(&Fault::DatabaseRestored)
    }
}

/// The result of a run.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// What the check counted.
    pub checked: Checked,
    /// How long the run took.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checked {
            acknowledged,
            points,
            rejected,
            dead_letters,
        } = self.checked;

        write!(
            f,
            "{acknowledged} records acknowledged, {points} points, {rejected} in quarantine, \
             {dead_letters} dead letters, {:.1} s",
            self.took.as_secs_f64()
        )
    }
}

/// How many records crash the function, in a run that has them.
const CRASHES: usize = 2;
/// Records before and after each of them. Each crash is isolated by halving, and each half takes a
/// new process.
const AROUND_CRASHES: usize = 300;

/// Runs `case` with the stream and the moments that follow from `seed`.
///
/// # Errors
/// When a promise is broken, or a part does not come back after its fault.
///
/// # Panics
/// When something that the run waits for does not happen in time.
pub async fn run(ground: &Ground, case: &Case, seed: u64) -> anyhow::Result<Report> {
    let started = Instant::now();
    let name = format!("{seed:x}_{}", uuid::Uuid::new_v4().simple());
    let mut site = Site::prepare(ground, &name, case.wiring).await?;

    {
        // No other run may restart Kafka while stacks start for the first time.
        let _kafka = ground.kafka.lock().await;
        for group in case.groups {
            site.add_stack(group).await?;
        }
    }

    let acknowledged = publish(&mut site, case, seed).await?;
    caught_up(&site).await;
    // From here on no other run may restart Kafka, because the checks read topics.
    let _kafka = ground.kafka.lock().await;

    if case.loses_points() {
        check_averages(&site).await?;
    } else if case.replay {
        check(&site, &acknowledged).await?;
    }

    let checked = check_replayed(&mut site, case, &acknowledged).await?;
    site.close().await?;
    Ok(Report {
        checked,
        took: started.elapsed(),
    })
}

/// Replays the topic if the case asks for it, then checks.
async fn check_replayed(
    site: &mut Site<'_>,
    case: &Case,
    acknowledged: &[Acknowledged],
) -> anyhow::Result<Checked> {
    if case.replay {
        site.add_stack("replay").await?;
        caught_up(site).await;
    }

    check(site, acknowledged).await
}

/// Publishes a stream while faults strike, and returns what Kafka acknowledged.
async fn publish(site: &mut Site<'_>, case: &Case, seed: u64) -> anyhow::Result<Vec<Acknowledged>> {
    let mut stream = Stream::new(seed);
    let mut publisher =
        Publisher::connect(site.ground.bootstrap_servers(), &site.topic, case.codec)?;

    if case.wiring.crashing {
        publish_crashes(&mut publisher, &mut stream).await?;
        return Ok(publisher.acknowledged().await);
    }

    let stop = CancellationToken::new();
    // Stops the publisher even if a fault returns an error.
    let over = stop.clone().drop_guard();

    let publishing = tokio::spawn(async move {
        let published = publisher.publish(&mut stream, &stop).await;
        published.map(|()| publisher)
    });

    strike(site, &case.faults, seed).await?;
    drop(over);
    Ok(publishing.await??.acknowledged().await)
}

async fn strike(site: &mut Site<'_>, faults: &[Fault], seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed ^ 0x6661_756c_7421);
    for (number, fault) in faults.iter().enumerate() {
        moment(&mut random).await;
        let stack = number % site.stacks();
        fault.strike(site, stack, &mut random).await?;
    }

    moment(&mut random).await;
    Ok(())
}

async fn publish_crashes(publisher: &mut Publisher, stream: &mut Stream) -> anyhow::Result<()> {
    for _ in 0..CRASHES {
        for record in stream.by_ref().take(AROUND_CRASHES).collect::<Vec<_>>() {
            publisher.send(record).await?;
        }
        publisher.send(stream.crash()).await?;
    }

    for record in stream.by_ref().take(AROUND_CRASHES).collect::<Vec<_>>() {
        publisher.send(record).await?;
    }
    Ok(())
}
