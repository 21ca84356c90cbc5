//! A real Postgres for tests: the one that `TEST_DATABASE_URL` names, otherwise the emulator's own,
//! which is started once per test process. Every test gets a migrated database of its own.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::str::FromStr;

use anyhow::Context;
use shared::repository::MIGRATOR;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::binaries;

/// A new, migrated database of the test's own.
///
/// # Errors
/// When no Postgres can be reached or started.
pub async fn database() -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(&database_url().await?)?.disable_statement_logging();

    Ok(PgPoolOptions::new()
        .max_connections(10)
        .connect_with(options)
        .await?)
}

/// The URL of a new, migrated database.
///
/// # Errors
/// When no Postgres can be reached or started.
pub async fn database_url() -> anyhow::Result<String> {
    let server = server().await?;
    create(server, &server.template).await
}

/// The URL of a new database without a schema.
///
/// # Errors
/// When no Postgres can be reached or started.
pub async fn empty_database_url() -> anyhow::Result<String> {
    create(server().await?, "template0").await
}

async fn create(server: &Server, template: &str) -> anyhow::Result<String> {
    let name = format!("test_{}", Uuid::new_v4().simple());

    let mut connection = PgConnectOptions::from_str(&server.url)?
        .disable_statement_logging()
        .connect()
        .await?;
    let create = format!("create database {name} template {template}");

    // Cloning a template locks it. Concurrent tests wait for each other here, until the one before
    // closes its connection.
    sqlx::query("select pg_advisory_lock(81)")
        .execute(&mut connection)
        .await?;
    sqlx::query(AssertSqlSafe(create))
        .execute(&mut connection)
        .await
        .context("creating a test database")?;

    with_database(&server.url, &name)
}

pub(crate) fn with_database(url: &str, name: &str) -> anyhow::Result<String> {
    let (base, query) = url
        .split_once('?')
        .map_or((url, String::new()), |(base, query)| {
            (base, format!("?{query}"))
        });

    let server = base
        .rfind('/')
        .map(|at| &base[..at])
        .context("the database URL names no database")?;

    Ok(format!("{server}/{name}{query}"))
}

#[derive(Debug)]
struct Server {
    url: String,
    template: String,
    // Closing its standard input ends a Postgres of our own, even if this process is killed.
    _own: Option<(Child, ChildStdin)>,
}

async fn server() -> anyhow::Result<&'static Server> {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    SERVER.get_or_try_init(start).await
}

async fn start() -> anyhow::Result<Server> {
    let (url, own) = match environment("TEST_DATABASE_URL") {
        Some(url) => (url, None),
        None => {
            let (url, child, stdin) = tokio::task::spawn_blocking(start_own).await??;
            (url, Some((child, stdin)))
        }
    };

    let template = format!("template_{}", Uuid::new_v4().simple());
    let mut connection = PgConnectOptions::from_str(&url)?
        .disable_statement_logging()
        .connect()
        .await?;
    sqlx::query(AssertSqlSafe(format!("create database {template}")))
        .execute(&mut connection)
        .await?;

    let pool = PgPoolOptions::new()
        .connect(&with_database(&url, &template)?)
        .await?;
    MIGRATOR.run(&pool).await?;
    // Postgres refuses to clone a template that has connections.
    pool.close().await;

    Ok(Server {
        url,
        template,
        _own: own,
    })
}

pub(crate) fn start_own() -> anyhow::Result<(String, Child, ChildStdin)> {
    remove_leftovers(PREFIX);
    let data = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));

    let mut child = Command::new(binaries::directory()?.join("emulator"))
        .args([
            "postgres",
            "--until-stdin-closes",
            "--show-passwords",
            "--output",
            "json",
            "--data-dir",
        ])
        .arg(&data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the emulator's Postgres")?;

    let stdin = child.stdin.take().context("its standard input")?;
    let stdout = BufReader::new(child.stdout.take().context("its standard output")?);

    for line in stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(&line?).unwrap_or_default();
        if event["event"] == "ready" {
            let url = event["database_url"]
                .as_str()
                .context("the ready line names no database_url")?;
            return Ok((url.to_owned(), child, stdin));
        }
    }

    anyhow::bail!("the emulator's Postgres ended before it was ready; see its messages above")
}

const PREFIX: &str = "market-data-test-postgres-";

/// Removes the data of test processes that have ended: folders named `prefix` and a pid. They
/// would stay, because statics are not dropped when a process ends.
pub(crate) fn remove_leftovers(prefix: &str) {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };

    for entry in entries.flatten() {
        let name = entry.file_name();
        // A number may follow the process id.
        let owner = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let pid = owner.and_then(|owner| owner.split('-').next());

        if pid.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests' own configuration is this one variable"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
