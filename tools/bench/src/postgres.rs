//! The Postgres that is measured: the emulator's own, durable as in production, or the one given.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::str::FromStr as _;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use serde_json::Value;
use shared::repository::MIGRATOR;
use shared::repository::partitions::{PRICE_POINTS, make_ahead};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;

use crate::cli::Cli;
use crate::cpu;

/// Room for a whole run, so that no checkpoint falls into one contender's slice and not into
/// another's.
const SETTINGS: [&str; 4] = [
    "alter system set max_wal_size = '8GB'",
    "alter system set checkpoint_timeout = '30min'",
    // Takes effect at the next start.
    "alter system set track_commit_timestamp = on",
    "select pg_reload_conf()",
];

/// Monthly partitions exist from this far back, as they do once the pipeline has run for a while.
const OLDEST_EVENTS: TimeDelta = TimeDelta::days(35);

/// A running server, with a database for the benchmark.
#[derive(Debug)]
pub(crate) struct Server {
    admin_url: String,
    /// The URL of the benchmark's database.
    pub(crate) url: String,
    /// The postmaster's pid, if it runs on this machine.
    postmaster: Option<u32>,
    own: Option<Own>,
}

/// A Postgres of our own. It stops when its standard input closes, at the latest at the end of this
/// process.
#[derive(Debug)]
struct Own {
    child: Child,
    stdin: Option<ChildStdin>,
    data: TempDir,
}

impl Own {
    fn stop(&mut self) -> std::io::Result<()> {
        drop(self.stdin.take());
        self.child.wait().map(drop)
    }
}

impl Server {
    pub(crate) async fn start(cli: &Cli, binaries: &Path) -> anyhow::Result<Self> {
        let (admin_url, own) = match &cli.database_url {
            Some(url) => (url.clone(), None),
            None => {
                let (url, own) = configured(binaries).await?;
                (url, Some(own))
            }
        };

        let mut admin = connection(&admin_url).await?;

        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut admin)
            .await?;
        let backend = u32::try_from(backend)?;

        let is_here = cpu::command(backend).is_some_and(|name| name == "postgres");
        let postmaster = if is_here { cpu::parent(backend) } else { None };

        let mut server = Self {
            url: admin_url.clone(),
            admin_url,
            postmaster,
            own,
        };

        server.new_database().await?;
        Ok(server)
    }

    /// Checks that the server notes the time of each commit.
    pub(crate) async fn require_commit_times(&self) -> anyhow::Result<()> {
        let noted: String = sqlx::query_scalar("show track_commit_timestamp")
            .fetch_one(&mut self.connection().await?)
            .await?;
        anyhow::ensure!(
            noted == "on",
            "the latency is read from the times of commits: set track_commit_timestamp = on and restart Postgres"
        );
        Ok(())
    }

    /// Drops the benchmark's database, and creates a new one with the pipeline's schema and
    /// partitions.
    pub(crate) async fn new_database(&mut self) -> anyhow::Result<()> {
        self.drop_database().await?;

        let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
        let mut admin = connection(&self.admin_url).await?;
        sqlx::query(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut admin)
            .await?;

        self.url = with_database(&self.admin_url, &name)?;
        let pool = self.pool(1)?;
        MIGRATOR.run(&pool).await?;
        make_ahead(&pool, PRICE_POINTS, Utc::now() - OLDEST_EVENTS).await?;

        pool.close().await;
        Ok(())
    }

    async fn drop_database(&self) -> anyhow::Result<()> {
        if self.url == self.admin_url {
            return Ok(());
        }

        let name = PgConnectOptions::from_str(&self.url)?
            .get_database()
            .unwrap_or_default()
            .to_owned();

        let mut admin = connection(&self.admin_url).await?;
        let drop = format!("drop database if exists {name} with (force)");
        sqlx::query(AssertSqlSafe(drop)).execute(&mut admin).await?;
        Ok(())
    }

    /// A pool for the benchmark's database, apart from the connections that are measured.
    pub(crate) fn pool(&self, connections: u32) -> anyhow::Result<PgPool> {
        let options = PgConnectOptions::from_str(&self.url)?.disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(30));
        Ok(pool.connect_lazy_with(options))
    }

    /// A connection to the benchmark's database.
    pub(crate) async fn connection(&self) -> anyhow::Result<PgConnection> {
        connection(&self.url).await
    }

    /// CPU time of all the server's processes so far; zero if it runs elsewhere.
    pub(crate) fn cpu(&self) -> Duration {
        self.postmaster.map_or(Duration::ZERO, cpu::of_tree)
    }

    /// Drops the database, and stops the server if it is our own.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.drop_database().await?;

        if let Some(own) = &mut self.own {
            own.stop()?;
        }

        Ok(())
    }
}

async fn connection(url: &str) -> anyhow::Result<PgConnection> {
    Ok(PgConnectOptions::from_str(url)?
        .disable_statement_logging()
        .connect()
        .await?)
}

fn with_database(url: &str, name: &str) -> anyhow::Result<String> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));

    let server = base
        .rfind('/')
        .map(|at| &base[..at])
        .context("the database URL names no database")?;

    Ok(if query.is_empty() {
        format!("{server}/{name}")
    } else {
        format!("{server}/{name}?{query}")
    })
}

/// Starts a server of our own with the benchmark's settings.
async fn configured(binaries: &Path) -> anyhow::Result<(String, Own)> {
    let data = tempfile::Builder::new()
        .prefix("market-data-bench-postgres-")
        .tempdir()?;
    open_to_postgres(data.path())?;

    let (url, mut own) = start_own(binaries, data)?;
    let mut admin = connection(&url).await?;
    for setting in SETTINGS {
        sqlx::query(setting).execute(&mut admin).await?;
    }

    drop(admin);
    own.stop()?;
    start_own(binaries, own.data)
}

fn start_own(binaries: &Path, data: TempDir) -> anyhow::Result<(String, Own)> {
    let mut child = Command::new(binaries.join("emulator"))
        .args([
            "postgres",
            "--until-stdin-closes",
            "--show-passwords",
            "--output",
            "json",
            "--data-dir",
        ])
        .arg(data.path().join("data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the emulator's Postgres")?;

    let stdin = child.stdin.take();
    let mut lines = BufReader::new(child.stdout.take().context("its standard output")?).lines();

    for line in lines.by_ref() {
        let event: Value = serde_json::from_str(&line?).unwrap_or_default();
        if event["event"] == "ready" {
            let url = event["database_url"]
                .as_str()
                .context("the ready line names no database_url")?;

            std::thread::spawn(move || lines.for_each(drop));
            return Ok((url.to_owned(), Own { child, stdin, data }));
        }
    }

    anyhow::bail!("the emulator's Postgres ended before it was ready; see its messages above")
}

/// Lets Postgres reach its data: if root starts it, it runs as another user.
fn open_to_postgres(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o711))
}
