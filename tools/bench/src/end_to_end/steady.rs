//! Under a steady load: the time until the first average after `kill -9`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::time::sleep;

use super::kafka::Broker;
use super::load::Load;
use super::stack::Stack;
use crate::bench::Bench;
use crate::feed::{self, Delivery, Feed};
use crate::figures::median;
use crate::report::{Table, rounded};

const SYMBOLS: usize = 5_000;
/// Long enough for each symbol's first event, which creates its series, to precede the measurement.
const WARM_UP: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(90);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
const BETWEEN_KILLS: Duration = Duration::from_secs(3);

/// The time from a kill to the first average, in seconds.
#[derive(Clone, Debug)]
pub(super) struct Steady {
    after_averager: f64,
    after_emulator: f64,
    kills: usize,
    worst_after_averager: f64,
    worst_after_emulator: f64,
}

pub(super) async fn measure(broker: &Broker, bench: &mut Bench<'_>) -> anyhow::Result<Steady> {
    let progress = bench.progress;
    let kills = if bench.cli.quick { 1 } else { 3 };

    progress.tell("end to end: steady load: starting");
    bench.server.new_database().await?;
    let topic = broker.new_topic("price-events").await?;
    let stack = Stack::new(bench.binaries, &bench.server, broker, &topic)?;
    let mut stack = stack.start().await?;

    let symbols = feed::symbols(SYMBOLS);
    let feed = Feed::new(&symbols, feed::start_before_now(10_000)?, Delivery::Clean)?;

    let load = Load::start(broker, &bench.server, topic, feed).await?;
    sleep(WARM_UP).await;

    let (mut averager, mut emulator) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        progress.tell("end to end: kill -9 of the averager");
        averager.push(after_kill_of_averager(&stack, &load).await?);
        sleep(BETWEEN_KILLS).await;
    }

    for _ in 0..kills {
        progress.tell("end to end: kill -9 of the emulator");
        let killed = Instant::now();
        stack.kill()?;
        stack.spawn()?;
        emulator.push(first_average_after(&load, killed).await?);
        sleep(BETWEEN_KILLS).await;
    }

    drop(load);
    stack.stop().await?;

    Ok(Steady {
        after_averager: median(averager.iter().copied()),
        after_emulator: median(emulator.iter().copied()),
        kills,
        worst_after_averager: averager.into_iter().fold(0.0, f64::max),
        worst_after_emulator: emulator.into_iter().fold(0.0, f64::max),
    })
}

async fn after_kill_of_averager(stack: &Stack, load: &Load) -> anyhow::Result<f64> {
    let averagers = stack.averagers();
    ensure!(!averagers.is_empty(), "no averager runs");

    let killed = Instant::now();
    for averager in averagers {
        kill(Pid::from_raw(i32::try_from(averager)?), Signal::SIGKILL)
            .context("killing the averager")?;
    }

    first_average_after(load, killed).await
}

/// The seconds from a kill until an event that was produced after it is visible.
async fn first_average_after(load: &Load, killed: Instant) -> anyhow::Result<f64> {
    let deadline = killed + PATIENCE;

    loop {
        let seen = load.seen_since(killed)?;
        if let Some(first) = seen.iter().map(|seen| seen.visible).min() {
            return Ok((first - killed).as_secs_f64());
        }

        ensure!(
            Instant::now() < deadline,
            "no new average within {PATIENCE:?} of a kill"
        );

        sleep(BETWEEN_LOOKS).await;
    }
}

impl Steady {
    pub(super) fn hold(&self, thresholds: &mut Table) {
        thresholds.at_most(
            "first average after kill -9 of the averager, s",
            self.after_averager,
            2.0,
            0.5,
        );
        thresholds.at_most(
            "first average after kill -9 of the emulator, s",
            self.after_emulator,
            10.0,
            4.0,
        );
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(
            "After kill -9, under 1,000 events/s of 5,000 symbols, s",
            &["what", "kills", "median", "worst"],
        );
        table.note(
            "Until a reader finds the average of an event that was produced after the kill; the emulator is started at once.",
        );

        for (name, median, worst) in [
            (
                "the averager",
                self.after_averager,
                self.worst_after_averager,
            ),
            (
                "the emulator",
                self.after_emulator,
                self.worst_after_emulator,
            ),
        ] {
            table.row(vec![
                json!(name),
                json!(self.kills),
                rounded(median),
                rounded(worst),
            ]);
        }

        table
    }
}
