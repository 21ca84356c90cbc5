//! Faults between Postgres and the functions.

use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::sleep;

use super::quiet::Quiet;
use super::{Site, moment};
use crate::link::Moment;
use crate::{processes, waiting};

/// The longest time that each expected event may take.
const PATIENCE: Duration = Duration::from_secs(60);

const TERMINATE: &str = "select pg_terminate_backend(pid) from pg_stat_activity
                         where datname = $1 and pid <> pg_backend_pid()";

pub(super) async fn cut(site: &Site<'_>, moment: Moment) -> anyhow::Result<()> {
    site.link.cut_at(moment).await;
    Ok(())
}

pub(super) async fn take_away(site: &mut Site<'_>, length: Duration) -> anyhow::Result<()> {
    site.link.cut().await;
    sleep(length).await;
    site.link.mend().await
}

/// Signals the postmaster. Its supervisor starts Postgres again.
pub(super) async fn signal(site: &Site<'_>, signal: Signal) -> anyhow::Result<()> {
    let mut connection = site.ground.postgres().await?;
    let backend: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut connection)
        .await?;

    let stat = std::fs::read_to_string(format!("/proc/{backend}/stat"))?;
    let parent = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(1));
    let postmaster = parent.context("the postmaster's pid")?.parse()?;

    processes::signal(postmaster, signal);

    let back = async || {
        // The postmaster must be gone first: until then, Postgres may still accept connections.
        (!processes::is_running(postmaster)).then_some(())?;
        site.ground.postgres().await.ok()
    };

    waiting::until("Postgres", PATIENCE, back).await;
    Ok(())
}

pub(super) async fn terminate_connections(
    site: &Site<'_>,
    random: &mut StdRng,
) -> anyhow::Result<()> {
    let mut connection = site.ground.postgres().await?;
    for _ in 0..random.random_range(3..15) {
        sqlx::query(TERMINATE)
            .bind(&site.database)
            .execute(&mut connection)
            .await?;
        sleep(Duration::from_millis(random.random_range(1..60))).await;
    }
    Ok(())
}

/// Ends the writer's connections; new ones reach a read-only server until the new writer takes
/// over.
pub(super) async fn fail_over(site: &Site<'_>, random: &mut StdRng) -> anyhow::Result<()> {
    let mut connection = site.ground.postgres().await?;
    alter(
        &mut connection,
        &site.database,
        "set default_transaction_read_only = on",
    )
    .await?;

    // The setting applies to new sessions only, so the old ones are ended.
    sqlx::query(TERMINATE)
        .bind(&site.database)
        .execute(&mut connection)
        .await?;

    sleep(Duration::from_millis(random.random_range(1_000..5_000))).await;

    alter(
        &mut connection,
        &site.database,
        "reset default_transaction_read_only",
    )
    .await
}

async fn alter(connection: &mut PgConnection, database: &str, change: &str) -> anyhow::Result<()> {
    let alter = AssertSqlSafe(format!("alter database {database} {change}"));
    sqlx::query(alter).execute(connection).await?;
    Ok(())
}

/// Silences a writer that holds its fences: one whose batch waits for a locked table. No other
/// writer may be within a COPY at that moment, because the server would wait for that writer
/// without limit while keepalives are answered.
pub(super) async fn silence_writer(site: &Site<'_>) -> anyhow::Result<()> {
    let mut connection = site.pool.acquire().await?;
    let mut lock = connection.begin().await?;
    sqlx::query("lock table series").execute(&mut *lock).await?;

    let waiting =
        "select exists (select from pg_locks where not granted and relation = 'series'::regclass)
                      and not exists (select from pg_stat_activity
                                      where datname = current_database() and state = 'active'
                                        and wait_event = 'ClientRead')";

    waiting::until("writer that waits", PATIENCE, async || {
        sqlx::query_scalar(waiting)
            .fetch_one(&mut *lock)
            .await
            .unwrap_or(false)
            .then_some(())
    })
    .await;

    // The writer must be silent before the lock is released, or it would commit.
    site.link.silence_for_good();
    lock.rollback().await?;
    Ok(())
}

/// Points stored between backup and restoration are lost, though their offsets are committed. The
/// fences' counts are set to their values just before the restoration, as if other writers had
/// passed as often since, so no count shows what happened. Quiet symbols are in no batch meanwhile,
/// so writers have no other reason to forget what they remember of them.
pub(super) async fn restore(site: &mut Site<'_>, random: &mut StdRng) -> anyhow::Result<()> {
    let quiet = Quiet::new();
    quiet.quote(site, 1).await?;
    let backup = back_up(site).await?;
    quiet.quote(site, 2).await?;
    for _ in 0..4 {
        moment(random).await;
    }

    put_back(site, &backup).await?;
    quiet.quote(site, 3).await
}

/// Copies the database while the functions cannot reach it, and returns the copy's name.
async fn back_up(site: &mut Site<'_>) -> anyhow::Result<String> {
    let backup = format!("{}_backup", site.database);
    site.link.cut().await;
    copy(site, &site.database, &backup).await?;
    site.link.mend().await?;
    Ok(backup)
}

/// Replaces the database by the copy, but keeps the fences' counts.
async fn put_back(site: &mut Site<'_>, backup: &str) -> anyhow::Result<()> {
    site.link.cut().await;

    // While the link is cut, no writer can pass a fence and change the counts.
    let counts = fence_counts(site).await?;
    copy(site, backup, &site.database).await?;
    set_fence_counts(site, counts).await?;

    site.link.mend().await?;

    let drop = AssertSqlSafe(format!("drop database {backup} with (force)"));
    sqlx::query(drop)
        .execute(&mut site.ground.postgres().await?)
        .await?;
    Ok(())
}

/// The fences, and how often each was passed.
async fn fence_counts(site: &Site<'_>) -> anyhow::Result<(Vec<i32>, Vec<i64>)> {
    let counts = "select array_agg(shard_id), array_agg(version) from ingest_fences";
    Ok(sqlx::query_as(counts).fetch_one(&site.pool).await?)
}

async fn set_fence_counts(site: &Site<'_>, counts: (Vec<i32>, Vec<i64>)) -> anyhow::Result<()> {
    let set = "update ingest_fences fence set version = passed.version
               from unnest($1::int4[], $2::int8[]) as passed(shard_id, version)
               where fence.shard_id = passed.shard_id";
    sqlx::query(set)
        .bind(counts.0)
        .bind(counts.1)
        .execute(&site.pool)
        .await?;
    Ok(())
}

/// Makes one database a copy of another, with no client connected to either.
async fn copy(site: &Site<'_>, from: &str, to: &str) -> anyhow::Result<()> {
    let mut connection = site.ground.postgres().await?;
    for database in [from, to] {
        sqlx::query(TERMINATE)
            .bind(database)
            .execute(&mut connection)
            .await?;
    }

    let copied = async || {
        let drop = AssertSqlSafe(format!("drop database if exists {to} with (force)"));
        let create = AssertSqlSafe(format!("create database {to} template {from}"));
        let mut connection = site.ground.postgres().await.ok()?;

        sqlx::query(drop).execute(&mut connection).await.ok()?;
        sqlx::query(create)
            .execute(&mut connection)
            .await
            .ok()
            .map(|_| ())
    };

    // Connections that were just ended may still exist for a moment.
    waiting::until("copy of the database", PATIENCE, copied).await;
    Ok(())
}
