//! The faults, and how each is caused.

use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::site::Site;
use crate::link::Moment;
use crate::{processes, waiting};

mod kafka;
mod postgres;
mod quiet;

/// Longest that an averager may hang: its time limit in the template, and half as long again.
const HANGS: Duration = Duration::from_secs(90);

/// One fault. A fault that makes something unavailable also brings it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the averager.
    AveragerKilled,
    /// `kill -9` of the emulator, and a new start. The functions that it leaves behind may continue
    /// to work meanwhile.
    EmulatorKilled,
    /// `kill -9` of the averager and of the emulator, and a new start of the emulator.
    BothKilled,
    /// Every instance of the averager is stopped by SIGSTOP: it does nothing more and does not end.
    /// The emulator must end each of them.
    AveragerHangs,
    /// `kill -9` of Postgres, which is started again.
    PostgresKilled,
    /// Postgres is shut down as its operator would, which cuts connections, and started again.
    PostgresRestarted,
    /// Postgres ends all connections of the functions, several times.
    ConnectionsTerminated,
    /// The connection is lost in the middle of a transaction.
    CutInTransaction,
    /// The connection is lost between COMMIT and its answer.
    CommitAnswerLost,
    /// Postgres is unavailable for this number of seconds.
    PostgresAway(u64),
    /// All connections of the functions are ended, and new ones reach a read-only server for some
    /// seconds.
    FailedOverToReader,
    /// All connections of the functions fall silent for ever, with the locks that their
    /// transactions hold. New ones work.
    ConnectionsSilenced,
    /// A writer that holds fences falls silent, and its connection stays open.
    WriterVanished,
    /// The database is restored from a backup made a moment before. Only a replay brings back what
    /// was stored in between.
    DatabaseRestored,
    /// Kafka is stopped as its operator would, and started again.
    KafkaRestarted,
    /// `kill -9` of Kafka, and a new start.
    KafkaKilled,
    /// Kafka fences the emulator's reader, because another member has joined under its name.
    ReaderShutOut,
    /// Records whose headers, keys and times no well-behaved producer would send.
    OddRecords,
    /// Events that Postgres always refuses, in one batch with good ones.
    RefusedEvents,
}

impl Fault {
    /// The faults for random mixtures: all that are over quickly.
    pub const MIXED: [Self; 15] = [
        Self::AveragerKilled,
        Self::EmulatorKilled,
        Self::BothKilled,
        Self::PostgresKilled,
        Self::PostgresRestarted,
        Self::ConnectionsTerminated,
        Self::CutInTransaction,
        Self::CommitAnswerLost,
        Self::FailedOverToReader,
        Self::ConnectionsSilenced,
        Self::KafkaRestarted,
        Self::KafkaKilled,
        Self::ReaderShutOut,
        Self::OddRecords,
        Self::RefusedEvents,
    ];

    /// Causes the fault in the stack `number`, or in what all stacks use.
    ///
    /// # Errors
    /// When the affected part does not come back.
    #[expect(clippy::cognitive_complexity, reason = "a line for each fault")]
    pub async fn strike(
        self,
        site: &mut Site<'_>,
        number: usize,
        random: &mut StdRng,
    ) -> anyhow::Result<()> {
        match self {
            Self::AveragerKilled => kill_averager(site, number).await,
            Self::EmulatorKilled => restart_emulator(site, number, random).await,
            Self::BothKilled => kill_both(site, number, random).await,
            Self::AveragerHangs => stop_averagers(site, number).await,
            Self::PostgresKilled => postgres::signal(site, Signal::SIGKILL).await,
            Self::PostgresRestarted => postgres::signal(site, Signal::SIGINT).await,
            Self::ConnectionsTerminated => postgres::terminate_connections(site, random).await,
            Self::CutInTransaction => postgres::cut(site, Moment::Begun).await,
            Self::CommitAnswerLost => postgres::cut(site, Moment::Committed).await,
            Self::PostgresAway(seconds) => {
                postgres::take_away(site, Duration::from_secs(seconds)).await
            }
            Self::FailedOverToReader => postgres::fail_over(site, random).await,
            Self::ConnectionsSilenced => {
                site.link.silence();
                Ok(())
            }
            Self::WriterVanished => postgres::silence_writer(site).await,
            Self::DatabaseRestored => postgres::restore(site, random).await,
            Self::KafkaRestarted => kafka::restart(site, Signal::SIGTERM).await,
            Self::KafkaKilled => kafka::restart(site, Signal::SIGKILL).await,
            Self::ReaderShutOut => kafka::shut_out(site, number).await,
            Self::OddRecords => kafka::send_odd_records(site, random).await,
            Self::RefusedEvents => kafka::send_refused_events(site, random).await,
        }
    }
}

/// Waits for a random time of less than a second.
pub async fn moment(random: &mut StdRng) {
    sleep(Duration::from_millis(random.random_range(20..700))).await;
}

async fn kill_averager(site: &Site<'_>, number: usize) -> anyhow::Result<()> {
    let stack = site.stack(number).context("the stack does not run")?;
    processes::kill_9(stack.instance("averager").await);
    Ok(())
}

/// Stops all instances of the averager, and waits until the emulator has ended them: those that
/// work on a batch by the function's time limit, and those that wait for one because they are
/// stopped. Other instances would take their place in any case.
async fn stop_averagers(site: &Site<'_>, number: usize) -> anyhow::Result<()> {
    let stack = site.stack(number).context("the stack does not run")?;
    stack.instance("averager").await;

    let hanging = stack.instances("averager");
    for pid in &hanging {
        processes::signal(*pid, Signal::SIGSTOP);
    }

    waiting::until("end of the averagers that hang", HANGS, async || {
        let ended = !hanging.iter().any(|pid| processes::is_running(*pid));
        ended.then_some(())
    })
    .await;
    Ok(())
}

/// Other members of the group may or may not take over before the emulator is back.
async fn restart_emulator(
    site: &mut Site<'_>,
    number: usize,
    random: &mut StdRng,
) -> anyhow::Result<()> {
    site.end(number, Signal::SIGKILL).await;
    let longest = if site.stacks() > 1 { 9_000 } else { 500 };
    sleep(Duration::from_millis(random.random_range(0..longest))).await;
    site.start(number).await
}

async fn kill_both(site: &mut Site<'_>, number: usize, random: &mut StdRng) -> anyhow::Result<()> {
    kill_averager(site, number).await?;
    restart_emulator(site, number, random).await
}
