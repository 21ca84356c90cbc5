//! Ingest and reads while the table grows: neither may become slower.

use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use shared::market::{ProviderName, Symbol};
use shared::repository::{price_points, series};
use sqlx::postgres::PgConnection;

use crate::averager::{Averaging, Contender as _};
use crate::bench::Bench;
use crate::correctness;
use crate::feed::{self, Delivery, Feed, PROVIDER};
use crate::figures::{median, milliseconds, percentile};
use crate::postgres::Server;
use crate::report::{Table, rounded};

const SYMBOLS: usize = 5_000;
const MILLION: usize = 1_000_000;
/// Events per batch while the table grows.
const FILL: usize = 10_000;
/// Events per batch while ingest is measured.
const BATCH: usize = 1_000;
const BATCHES: usize = 60;
const READS: usize = 1_000;
const PAGE: i64 = 100;

/// The medians at one size, in milliseconds.
struct Level {
    millions: usize,
    batch: f64,
    latest: f64,
    average: f64,
    history: f64,
    older_history: f64,
}

/// The table that grows: the events that come next, and what stores them.
struct Growth {
    symbols: Vec<Symbol>,
    feed: Feed,
    averaging: Averaging,
}

/// Fills the table and measures at some sizes.
pub(crate) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bench.server.new_database().await?;
    let (server, progress, cli) = (&bench.server, bench.progress, bench.cli);

    let most = if cli.quick {
        cli.millions.min(2)
    } else {
        cli.millions
    };

    let symbols = feed::symbols(SYMBOLS);
    let start = feed::start_before_now(most * MILLION / SYMBOLS * 2)?;
    let mut growth = Growth {
        feed: Feed::new(&symbols, start, Delivery::Clean)?,
        symbols,
        averaging: Averaging::open(server)?,
    };

    let mut levels = Vec::new();
    for millions in [1, 2, 5, 10, 20, 50, 100]
        .into_iter()
        .filter(|millions| *millions <= most)
    {
        while growth.feed.distinct() + FILL <= millions * MILLION {
            progress.tell(format!(
                "growth: {} of {} points",
                growth.feed.distinct(),
                most * MILLION
            ));
            growth.store(FILL).await?;
        }

        progress.tell(format!("growth: measuring at {millions} million points"));
        levels.push(growth.measure(server, millions).await?);
    }

    progress.tell("growth: checking every average");
    correctness::check(server, growth.feed.distinct()).await?;

    bench.report.add(table(&levels));
    Ok(())
}

impl Growth {
    /// Stores the next events in one batch.
    async fn store(&mut self, events: usize) -> anyhow::Result<()> {
        self.averaging.take(&self.feed.batch(events)?).await
    }

    /// Measures at the table's present size.
    async fn measure(&mut self, server: &Server, millions: usize) -> anyhow::Result<Level> {
        let mut batches = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let event = self.feed.batch(BATCH)?;
            let started = Instant::now();
            self.averaging.take(&event).await?;
            batches.push(milliseconds(started.elapsed()));
        }

        let mut connection = server.connection().await?;
        let mut random = SmallRng::seed_from_u64(millions as u64);
        let provider: ProviderName = PROVIDER.parse()?;

        let (mut latest, mut average, mut history, mut older) = (vec![], vec![], vec![], vec![]);
        for _ in 0..READS {
            let symbol = &self.symbols[random.random_range(0..self.symbols.len())];

            let started = Instant::now();
            let found = series::of_providers(
                &mut connection,
                std::slice::from_ref(symbol),
                std::slice::from_ref(&provider),
            )
            .await?;
            latest.push(milliseconds(started.elapsed()));
            anyhow::ensure!(found.len() == 1, "{symbol} has no latest price");

            let started = Instant::now();
            let found =
                series::find(&mut connection, symbol, None, &provider.clone().into()).await?;
            average.push(milliseconds(started.elapsed()));

            let Some(found) = found else {
                anyhow::bail!("{symbol} has no average")
            };

            history.push(
                page(
                    &mut connection,
                    found.series_id,
                    price_points::Range::default(),
                )
                .await?,
            );

            let age = (found.timestamp - self.feed.start()) * random.random_range(0..50) / 100;
            let before = price_points::Range {
                from: None,
                to: Some(found.timestamp - age),
            };
            older.push(page(&mut connection, found.series_id, before).await?);
        }

        Ok(Level {
            millions,
            batch: median(batches),
            latest: percentile(latest, 50),
            average: percentile(average, 50),
            history: percentile(history, 50),
            older_history: percentile(older, 50),
        })
    }
}

async fn page(
    connection: &mut PgConnection,
    series_id: i32,
    range: price_points::Range,
) -> anyhow::Result<f64> {
    let started = Instant::now();
    let points = price_points::history(connection, series_id, range, PAGE).await?;

    anyhow::ensure!(
        points.len() == usize::try_from(PAGE)?,
        "a page of history is not full"
    );

    Ok(milliseconds(started.elapsed()))
}

fn table(levels: &[Level]) -> Table {
    let mut table = Table::new(
        "Growth: median ms, and as a ratio to the first size (5,000 symbols)",
        &[
            "million points",
            "batch of 1,000",
            "its ratio",
            "latest",
            "ratio of latest",
            "average",
            "ratio of average",
            "page of 100",
            "ratio of page",
            "older page",
            "ratio of older page",
        ],
    );

    let Some(first) = levels.first() else {
        return table;
    };

    for level in levels {
        let figure = |of: fn(&Level) -> f64| [rounded(of(level)), rounded(of(level) / of(first))];

        let figures: Vec<Value> = [
            figure(|level| level.batch),
            figure(|level| level.latest),
            figure(|level| level.average),
            figure(|level| level.history),
            figure(|level| level.older_history),
        ]
        .concat();

        table.row([vec![json!(level.millions)], figures].concat());
    }

    table
}
