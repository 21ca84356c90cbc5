//! What breaks between Postgres and the functions.

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

/// How long what is to happen may take.
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

/// Postgres's keeper starts it again.
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

/// The old writer is gone, and clients find one that only reads until the new one takes over.
pub(super) async fn fail_over(site: &Site<'_>, random: &mut StdRng) -> anyhow::Result<()> {
    let mut connection = site.ground.postgres().await?;
    alter(
        &mut connection,
        &site.database,
        "set default_transaction_read_only = on",
    )
    .await?;
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

/// A batch that waits for a locked table has passed its fences; then nothing is heard of its writer any more. No other
/// writer is amidst a COPY then, where the server waits for it without limit while keepalives are answered.
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
    site.link.silence_for_good();
    lock.rollback().await?;
    Ok(())
}

/// Points that are stored between backup and restoration are gone, though their offsets are committed. The fences' counts
/// are as they were just before, as if other writers had passed as often since: no count shows what happened. Quiet symbols
/// are in no batch meanwhile, so that what writers remember of them is forgotten for no other reason.
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

/// Copies the database, and returns the copy's name.
async fn back_up(site: &mut Site<'_>) -> anyhow::Result<String> {
    let backup = format!("{}_backup", site.database);
    site.link.cut().await;
    copy(site, &site.database, &backup).await?;
    site.link.mend().await?;
    Ok(backup)
}

/// Puts the copy in the database's place.
async fn put_back(site: &mut Site<'_>, backup: &str) -> anyhow::Result<()> {
    site.link.cut().await;
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

/// Makes one database a copy of another, while nobody is connected.
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
    // Connections that were just ended may still be there for a moment.
    waiting::until("copy of the database", PATIENCE, copied).await;
    Ok(())
}
