//! The tables that the contenders write, with the same key, partitions and initial content.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shared::market::{Symbol, Timestamp};
use shared::price_event::PriceEvent;
use sqlx::AssertSqlSafe;

use super::averaging::Averaging;
use super::contender::Contender as _;
use super::kind::Kind;
use crate::feed::{self, Delivery, Feed, LATEST_MINUTES};
use crate::postgres::Server;

/// The tables of the other contenders.
const COPIES: [&str; 3] = ["bench_copy", "bench_unnest", "bench_naive"];
/// Rounds before the measured ones: an hour of quotes, so that late events find neighbours.
const FIRST_ROUNDS: usize = LATEST_MINUTES;
/// More rounds than any contender takes in a full run, so that all its events are in the past: a
/// fast one takes tens of millions of events, of 200 symbols.
const ROUNDS: usize = 400_000;
const BATCH: usize = 10_000;

/// The ids of the series, by symbol.
#[derive(Clone, Debug)]
pub(crate) struct SeriesIds(Arc<HashMap<Symbol, i32>>);

impl SeriesIds {
    pub(crate) fn of(&self, event: &PriceEvent) -> anyhow::Result<i32> {
        let id = self.0.get(&event.symbol).copied();
        id.ok_or_else(|| anyhow::anyhow!("an event of a series that the benchmark did not make"))
    }

    /// Ids for series that no table holds.
    pub(crate) fn numbered(symbols: usize) -> Self {
        Self(Arc::new(
            feed::symbols(symbols).into_iter().zip(1..).collect(),
        ))
    }

    /// These ids.
    pub(crate) fn of_map(ids: HashMap<Symbol, i32>) -> Self {
        Self(Arc::new(ids))
    }

    /// The ids in the database.
    async fn read(server: &Server) -> anyhow::Result<Self> {
        let mut connection = server.connection().await?;
        let rows: Vec<(String, i32)> = sqlx::query_as("select symbol, series_id from series")
            .fetch_all(&mut connection)
            .await?;

        let ids = rows
            .into_iter()
            .map(|(symbol, id)| Ok((symbol.parse()?, id)));
        Ok(Self(Arc::new(ids.collect::<anyhow::Result<_>>()?)))
    }
}

/// What the tables hold.
#[derive(Debug)]
pub(super) struct Tables {
    symbols: Vec<Symbol>,
    start: Timestamp,
    ids: SeriesIds,
    /// The round at which each contender continues.
    next_round: BTreeMap<Kind, usize>,
    /// The number of points that the averager's table must hold.
    pub(super) expected_points: usize,
}

impl Tables {
    /// Fills the averager's tables by the averager's own code, and copies them.
    pub(super) async fn fill(server: &Server, symbols: usize) -> anyhow::Result<Self> {
        let symbols = feed::symbols(symbols);
        let start = feed::start_before_now(ROUNDS)?;

        let mut first = Feed::new(&symbols, start, Delivery::Clean)?;
        let mut averaging = Averaging::open(server)?;

        let expected_points = symbols.len() * FIRST_ROUNDS;
        for begun in (0..expected_points).step_by(BATCH) {
            averaging
                .take(&first.batch(BATCH.min(expected_points - begun))?)
                .await?;
        }

        copy(server).await?;
        let next_round = Kind::ALL.map(|kind| (kind, FIRST_ROUNDS)).into();

        Ok(Self {
            symbols,
            start,
            ids: SeriesIds::read(server).await?,
            next_round,
            expected_points,
        })
    }

    pub(super) fn ids(&self) -> SeriesIds {
        self.ids.clone()
    }

    /// The events that a writer of this kind gets next.
    pub(super) fn feed(
        &self,
        kind: Kind,
        writer: (u32, u32),
        delivery: Delivery,
    ) -> anyhow::Result<Feed> {
        let round = self.next_round.get(&kind).copied().unwrap_or(FIRST_ROUNDS);
        let feed = Feed::new(&self.symbols, self.start, delivery)?;
        Ok(feed.share(round, writer))
    }

    /// Records what a writer was sent.
    pub(super) fn sent(&mut self, kind: Kind, feed: &Feed) {
        let next = self.next_round.entry(kind).or_default();
        *next = (*next).max(feed.round() + 1);

        if kind == Kind::Averager {
            self.expected_points += feed.distinct();
        }
    }
}

async fn copy(server: &Server) -> anyhow::Result<()> {
    for table in COPIES {
        copy_structure(server, table).await?;
    }

    let mut connection = server.connection().await?;
    for table in COPIES {
        let fill = format!("insert into {table} select * from price_points");
        sqlx::query(AssertSqlSafe(fill))
            .execute(&mut connection)
            .await?;
    }

    sqlx::query(
        "create table bench_naive_latest (series_id int4 primary key, quoted_at timestamptz not null,
                                          price numeric not null, moving_average numeric not null)
         with (fillfactor = 50)",
    )
    .execute(&mut connection)
    .await?;

    sqlx::query("analyze").execute(&mut connection).await?;
    Ok(())
}

/// Creates a table with the structure of `price_points`: the same key and the same partitions.
pub(crate) async fn copy_structure(server: &Server, table: &str) -> anyhow::Result<()> {
    let mut connection = server.connection().await?;
    let partitions: Vec<(String, String)> = sqlx::query_as(
        "select p.relname, pg_get_expr(p.relpartbound, p.oid)
         from pg_inherits join pg_class p on p.oid = inhrelid
         where inhparent = 'price_points'::regclass order by p.oid",
    )
    .fetch_all(&mut connection)
    .await?;

    let parent = format!(
        "create table {table} (like price_points including all) partition by range (quoted_at)"
    );

    let partition = |(name, bounds): &(String, String)| {
        format!("create table {table}_{name} partition of {table} {bounds}")
    };

    for statement in std::iter::once(parent).chain(partitions.iter().map(partition)) {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
    }

    Ok(())
}
