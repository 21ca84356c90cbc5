//! Exports whole series to files, one file for each.
//!
//! It is a program of its own, because it works on any database, a deployed one included, and an
//! export of millions of points takes longer than a request may.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, bail};
use exports::{Format, PointFile, SeriesName};
use serde::Serialize;
use shared::market::{ProviderName, Symbol, Timestamp};
use shared::repository::price_points::{self, Range};
use shared::repository::series::{self, Selection, Series, SeriesKey};
use sqlx::PgPool;
use sqlx::postgres::PgConnection;

mod file;
pub mod report;

use file::{NewFile, path_of};
use report::Report;

/// Points that are read and written at a time; in Parquet, the rows of a group.
const BATCH: usize = 50_000;
/// Series that are listed at a time.
const LISTED: i64 = 1_000;

/// What to export, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only series of these symbols; all if there are none.
    pub symbols: Vec<Symbol>,
    /// Only series of this provider.
    pub provider: Option<ProviderName>,
    /// Only points of this range.
    pub range: Range,
    /// The form of the files.
    pub format: Format,
    /// The directory of the files.
    pub directory: PathBuf,
    /// Whether files that exist are written anew. They are passed over otherwise.
    pub overwrite: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Files that were written.
    pub written: usize,
    /// Series whose files existed.
    pub passed_over: usize,
    /// Points in the written files.
    pub points: u64,
}

/// Exports the series, one after another, and reports each.
///
/// # Errors
/// When a symbol is not stored, and when Postgres or the file system fails. Complete files stay,
/// and no incomplete one has the name of a complete one.
pub async fn export(
    pool: &PgPool,
    options: &Options,
    report: &mut dyn Report,
) -> anyhow::Result<Outcome> {
    let mut connection = pool.acquire().await.context("Postgres cannot be reached")?;
    let all = selected(&mut connection, options).await?;

    let mut outcome = Outcome::default();
    report.begin(all.len());

    for series in &all {
        let path = path_of(&options.directory, series, options.format);
        if !options.overwrite && path.exists() {
            outcome.passed_over += 1;
            report.passed_over(&path);
            continue;
        }

        let mut file = NewFile::create(path)?;
        let points = write(&mut connection, options, series, &mut file, report)
            .await
            .with_context(|| format!("{} of {} is not exported", series.symbol, series.provider))?;
        let path = file.complete()?;

        outcome.written += 1;
        outcome.points += points;
        report.written(&path, points);
    }

    Ok(outcome)
}

/// The series to export, by symbol and provider.
async fn selected(connection: &mut PgConnection, options: &Options) -> anyhow::Result<Vec<Series>> {
    let wanted: BTreeSet<&str> = options.symbols.iter().map(Symbol::as_str).collect();
    let selection = Selection {
        prefix: None,
        provider: options.provider.clone(),
    };
    let mut selected: Vec<Series> = Vec::new();
    let mut after: Option<SeriesKey> = None;

    loop {
        let page = series::list(&mut *connection, &selection, after.as_ref(), LISTED)
            .await
            .context("Postgres cannot list the series")?;
        let Some(last) = page.last() else { break };
        after = Some(SeriesKey {
            symbol: last.series.symbol.clone(),
            provider: last.series.provider.clone(),
        });

        let page = page.into_iter().map(|listed| listed.series);
        selected.extend(
            page.filter(|series| wanted.is_empty() || wanted.contains(series.symbol.as_str())),
        );
    }

    let found: BTreeSet<&str> = selected
        .iter()
        .map(|series| series.symbol.as_str())
        .collect();
    let missing: Vec<&str> = wanted.difference(&found).copied().collect();
    if !missing.is_empty() {
        bail!(
            "not stored: {}; symbols are spelled as GET /symbols lists them",
            missing.join(", ")
        );
    }
    Ok(selected)
}

/// Writes the points of a series as they are at one moment, oldest first, and returns their number.
async fn write(
    connection: &mut PgConnection,
    options: &Options,
    series: &Series,
    file: &mut NewFile,
    report: &mut dyn Report,
) -> anyhow::Result<u64> {
    let name = SeriesName {
        symbol: &series.symbol,
        provider: &series.provider,
    };
    let mut snapshot = price_points::snapshot(connection).await?;
    let mut file = PointFile::begin(options.format, file)?;

    let mut range = options.range;
    let mut first: Option<Timestamp> = None;
    let mut written = 0;

    loop {
        let points =
            price_points::oldest(&mut *snapshot, series.series_id, range, BATCH as i64).await?;
        let Some(last) = points.last().map(|point| point.timestamp) else {
            break;
        };
        let start = *first.get_or_insert(points[0].timestamp);

        file.write(name, &points)?;
        written += points.len() as u64;
        report.progress(name, written, share(start, last, options.range.to, series));

        range.from = Some(last + chrono::TimeDelta::microseconds(1));
    }

    file.finish()?;
    Ok(written)
}

/// How much of the series is written, by time.
fn share(first: Timestamp, last: Timestamp, to: Option<Timestamp>, series: &Series) -> f64 {
    let end = to.map_or(series.timestamp, |to| to.min(series.timestamp));
    let whole = (end - first).as_seconds_f64();
    if whole > 0.0 {
        ((last - first).as_seconds_f64() / whole).clamp(0.0, 1.0)
    } else {
        1.0
    }
}
