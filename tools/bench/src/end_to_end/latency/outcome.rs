//! One contender's run under one load.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::contender::Contender;
use super::generator::{Generator, now};
use super::stages::{self, Event};
use super::{Latency, SYMBOLS};
use crate::cpu;
use crate::end_to_end::kafka::Broker;
use crate::feed::{self, Delivery, Feed};
use crate::figures::percentile;
use crate::postgres::Server;

/// The series are created and the connections opened in this time.
const WARM_UP: Duration = Duration::from_secs(4);
/// More rounds of quotes than a run sends.
const ROUNDS: usize = 2_000;

/// CPU in cores.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    /// The bare loop, or emulator and averager.
    pub(super) client: f64,
    pub(super) emulator: f64,
    pub(super) averager: f64,
    pub(super) postgres: f64,
    pub(super) broker: f64,
    pub(super) load: f64,
}

/// What a run showed.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The events that were sent while it was measured.
    pub(super) events: Vec<Event>,
    pub(super) cpu: Cpu,
    pub(super) commits_per_second: f64,
    pub(super) events_per_commit: f64,
    /// What the contender logged.
    pub(super) log: String,
}

impl Outcome {
    /// Sends events to the contender, measures, and ends it.
    pub(super) async fn measure(
        contender: Contender,
        latency: &Latency<'_>,
        server: &Server,
        rate: u32,
    ) -> anyhow::Result<Self> {
        let broker = latency.broker;
        let symbols = feed::symbols(SYMBOLS);
        let start = feed::start_before_now(ROUNDS)?;
        let feed = Feed::new(&symbols, start, Delivery::Clean)?;
        let topic = contender.topic.clone();
        let load = Generator::start(broker.producer("0")?, topic.clone(), feed, rate);
        sleep(WARM_UP).await;

        let (from, started) = (now()?, Instant::now());
        let before = used(&contender, broker, server);
        sleep(Duration::from_secs(if latency.quick { 5 } else { 8 })).await;
        let after = used(&contender, broker, server);
        let (until, seconds) = (now()?, started.elapsed().as_secs_f64());

        let sent = tokio::task::block_in_place(|| load.stop())?;
        let count = sent.len();
        stages::wait_for(server, count).await?;
        let mut events = stages::of_run(broker, server, &topic, sent).await?;
        let log = contender.stop(server, count).await?;

        let committed = events
            .iter()
            .map(|event| event.committed)
            .filter(|time| (from..until).contains(time));
        let stored = committed.clone().count();
        let commits = committed.collect::<HashSet<_>>().len();
        events.retain(|event| (from..until).contains(&event.sent.sent));

        Ok(Self {
            events,
            cpu: Cpu::between(before, after, seconds),
            commits_per_second: commits as f64 / seconds,
            events_per_commit: stored as f64 / commits as f64,
            log,
        })
    }

    /// A percentile of the time from produce to commit, in milliseconds.
    pub(super) fn produced(&self, percent: usize) -> f64 {
        self.percentile(percent, |event| event.committed - event.sent.sent)
    }

    /// The same from the append on.
    pub(super) fn appended(&self, percent: usize) -> f64 {
        self.percentile(percent, |event| event.committed - event.appended)
    }

    /// The same for the load's own delay.
    pub(super) fn load_delay(&self, percent: usize) -> f64 {
        self.percentile(percent, |event| event.sent.sent - event.sent.intended)
    }

    /// A percentile of a time of all events, which `micros` gives in microseconds, in milliseconds.
    pub(super) fn percentile(&self, percent: usize, micros: impl Fn(&Event) -> i64) -> f64 {
        percentile(
            self.events.iter().map(|event| micros(event) as f64 / 1e3),
            percent,
        )
    }
}

/// CPU time so far in seconds: averager, the rest of the contender, Postgres, broker, load.
fn used(contender: &Contender, broker: &Broker, server: &Server) -> [f64; 5] {
    let (averager, rest) = contender.cpu();
    [
        averager,
        rest,
        server.cpu().as_secs_f64(),
        broker.cpu().as_secs_f64(),
        cpu::of_this_process().as_secs_f64(),
    ]
}

impl Cpu {
    fn between(before: [f64; 5], after: [f64; 5], seconds: f64) -> Self {
        let cores = |part: usize| (after[part] - before[part]) / seconds;
        Self {
            client: cores(0) + cores(1),
            emulator: cores(1),
            averager: cores(0),
            postgres: cores(2),
            broker: cores(3),
            load: cores(4),
        }
    }
}
