//! What can be broken, and how.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::sleep;

use super::site::Site;
use crate::link::Moment;
use crate::{processes, waiting};

/// One fault. Those that take something away bring it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the averager.
    AveragerKilled,
    /// `kill -9` of the emulator, and another start. The functions it leaves behind may work on meanwhile.
    EmulatorKilled,
    /// Both.
    BothKilled,
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
    /// Kafka stopped as its operator would, and started again.
    KafkaRestarted,
    /// `kill -9` of Kafka, and another start.
    KafkaKilled,
}

impl Fault {
    /// Those of which a random mixture is made: all that are over soon.
    pub const MIXED: [Self; 12] = [
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
    ];

    /// Breaks something of the stack `number`, or of what all stacks use.
    ///
    /// # Errors
    /// When something does not come back.
    pub async fn strike(self, site: &mut Site<'_>, number: usize, random: &mut StdRng) -> anyhow::Result<()> {
        match self {
            Self::AveragerKilled => kill_averager(site, number).await,
            Self::EmulatorKilled => restart_emulator(site, number, random).await,
            Self::BothKilled => kill_both(site, number, random).await,
            Self::PostgresKilled => signal_postgres(site, Signal::SIGKILL).await,
            Self::PostgresRestarted => signal_postgres(site, Signal::SIGINT).await,
            Self::ConnectionsTerminated => terminate_connections(site, random).await,
            Self::CutInTransaction => cut(site, Moment::Begun).await,
            Self::CommitAnswerLost => cut(site, Moment::Committed).await,
            Self::FailedOverToReader => fail_over(site, random).await,
            Self::ConnectionsSilenced => {
                site.link.silence();
                Ok(())
            }
            Self::PostgresAway(seconds) => take_postgres_away(site, Duration::from_secs(seconds)).await,
            Self::KafkaRestarted => restart_kafka(site, Signal::SIGTERM).await,
            Self::KafkaKilled => restart_kafka(site, Signal::SIGKILL).await,
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

/// Where there are others in the group, they may or may not take over before it is back.
async fn restart_emulator(site: &mut Site<'_>, number: usize, random: &mut StdRng) -> anyhow::Result<()> {
    site.end(number, Signal::SIGKILL).await;
    let longest = if site.stacks() > 1 { 9_000 } else { 500 };
    sleep(Duration::from_millis(random.random_range(0..longest))).await;
    site.start(number).await
}

async fn kill_both(site: &mut Site<'_>, number: usize, random: &mut StdRng) -> anyhow::Result<()> {
    kill_averager(site, number).await?;
    restart_emulator(site, number, random).await
}

async fn cut(site: &Site<'_>, moment: Moment) -> anyhow::Result<()> {
    site.link.cut_at(moment).await;
    Ok(())
}

async fn take_postgres_away(site: &mut Site<'_>, length: Duration) -> anyhow::Result<()> {
    site.link.cut().await;
    sleep(length).await;
    site.link.mend().await
}

/// Postgres's keeper starts it again.
async fn signal_postgres(site: &Site<'_>, signal: Signal) -> anyhow::Result<()> {
    let mut connection = site.ground.postgres().await?;
    let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
    let stat = std::fs::read_to_string(format!("/proc/{backend}/stat"))?;
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
    let postmaster = parent.context("the postmaster's pid")?.parse()?;
    processes::signal(postmaster, signal);
    let back = async || {
        (!processes::is_running(postmaster)).then_some(())?;
        site.ground.postgres().await.ok()
    };
    waiting::until("Postgres", Duration::from_secs(60), back).await;
    Ok(())
}

async fn fail_over(site: &Site<'_>, random: &mut StdRng) -> anyhow::Result<()> {
    let mut connection = site.ground.postgres().await?;
    let database = &site.database;
    let reads_only = format!("alter database {database} set default_transaction_read_only = on");
    sqlx::raw_sql(AssertSqlSafe(reads_only)).execute(&mut connection).await?;
    terminate_all(&mut connection, database).await?;
    sleep(Duration::from_millis(random.random_range(1_000..5_000))).await;
    let writes = format!("alter database {database} reset default_transaction_read_only");
    sqlx::raw_sql(AssertSqlSafe(writes)).execute(&mut connection).await?;
    Ok(())
}

async fn terminate_connections(site: &Site<'_>, random: &mut StdRng) -> anyhow::Result<()> {
    let mut connection = site.ground.postgres().await?;
    for _ in 0..random.random_range(3..15) {
        terminate_all(&mut connection, &site.database).await?;
        sleep(Duration::from_millis(random.random_range(1..60))).await;
    }
    Ok(())
}

async fn terminate_all(connection: &mut PgConnection, database: &str) -> anyhow::Result<()> {
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
    )
    .bind(database)
    .execute(connection)
    .await?;
    Ok(())
}

async fn restart_kafka(site: &Site<'_>, signal: Signal) -> anyhow::Result<()> {
    let mut kafka = Arc::clone(&site.ground.kafka).lock_owned().await;
    tokio::task::spawn_blocking(move || kafka.restart(signal)).await?
}
