//! What can be broken, and how.

use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::site::Site;
use crate::link::Moment;
use crate::processes;

mod kafka;
mod postgres;
mod quiet;

/// One fault. Those that take something away bring it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the averager.
    AveragerKilled,
    /// `kill -9` of the emulator, and another start. The functions it leaves behind may work on meanwhile.
    EmulatorKilled,
    /// Both.
    BothKilled,
    /// An averager that does nothing any more and does not end, whatever it is at.
    AveragerHangs,
    /// `kill -9` of Postgres, which is started again.
    PostgresKilled,
    /// Postgres stopped as its operator would, connections cut, and started again.
    PostgresRestarted,
    /// All connections of the functions ended by Postgres, several times.
    ConnectionsTerminated,
    /// The connection lost in the middle of a transaction.
    CutInTransaction,
    /// The connection lost between COMMIT and its answer.
    CommitAnswerLost,
    /// Postgres away for so many seconds.
    PostgresAway(u64),
    /// All connections of the functions ended, and new ones find a server that only reads, for some seconds.
    FailedOverToReader,
    /// All connections of the functions fall silent for ever, whatever their transactions hold; new ones work.
    ConnectionsSilenced,
    /// A writer that holds fences falls silent, and its connection stays open.
    WriterVanished,
    /// The database restored from a backup made a moment before. What was stored meanwhile only a replay brings back.
    DatabaseRestored,
    /// Kafka stopped as its operator would, and started again.
    KafkaRestarted,
    /// `kill -9` of Kafka, and another start.
    KafkaKilled,
    /// The emulator's reader ended by Kafka: another member has joined under its name.
    ReaderShutOut,
    /// Records with headers, keys and times that no well-behaved producer sends.
    OddRecords,
    /// Events that Postgres refuses for ever, in one batch with good ones.
    RefusedEvents,
}

impl Fault {
    /// Those of which a random mixture is made: all that are over soon.
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

    /// Breaks something of the stack `number`, or of what all stacks use.
    ///
    /// # Errors
    /// When something does not come back.
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
            Self::AveragerHangs => stop_averager(site, number).await,
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

/// A random moment, some tenths of a second away.
pub async fn moment(random: &mut StdRng) {
    sleep(Duration::from_millis(random.random_range(20..700))).await;
}

async fn kill_averager(site: &Site<'_>, number: usize) -> anyhow::Result<()> {
    let stack = site.stack(number).context("the stack does not run")?;
    processes::kill_9(stack.instance("averager").await);
    Ok(())
}

/// Whoever waits for it must see to it.
async fn stop_averager(site: &Site<'_>, number: usize) -> anyhow::Result<()> {
    let stack = site.stack(number).context("the stack does not run")?;
    processes::signal(stack.instance("averager").await, Signal::SIGSTOP);
    Ok(())
}

/// Where there are others in the group, they may or may not take over before it is back.
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
