//! What changed in some series since a position, in the order of commits.
//!
//! A [`Position`] says, for each series, how far a client has got:
//!
//! - the newest quote time that it has had: appended points come after it, and are read from the
//!   points themselves;
//! - the count of the series' fence up to which it knows all changes of earlier points. Those are
//!   listed in `late_points` with the count of the batch that made them.
//!
//! **Why nothing is missed.** A batch increments the counts of its fences under their locks, and
//! holds the locks until its commit. So a snapshot that sees a count sees all batches up to it
//! behind this fence, and none after it: no transaction that is still open can have a count that
//! was seen. One snapshot serves all statements of a reading, which moves each series on to the
//! count that it sees.
//!
//! **Why nothing comes twice.** A point has one row in `late_points`, with the count of its last
//! change, and an appended point is not listed. So a point is read again only after it changed.
//!
//! **Why a restore is noticed.** The order holds within the history of the database. An epoch
//! begins with the first batch after a start of the server or a restore, and a position names the
//! epochs in which it was read (`fences`). If such an epoch is unknown, or ended before the
//! position, then the position is of batches that are lost.
//!
//! What retention drops is no change, and its changes are left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::postgres::PgConnection;

use self::fences::Fences;
use super::Error;
use super::ingest::shard;
use super::price_points::{self, PricePoint};
use crate::market::{ProviderName, Symbol, Timestamp};

mod fences;
mod forgetting;
mod page;
mod points;

pub use fences::{Counts, counts};
pub use forgetting::{KEPT_DAYS, forget_old};

/// Most series that one client follows: their positions have to fit into a URL.
pub const MAX_SERIES: usize = 200;

/// The series that a client follows, which need not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Their symbols. One that is not stored in its spelling is looked up in upper case.
    pub symbols: Vec<Symbol>,
    /// Their provider, or all providers.
    pub provider: Option<ProviderName>,
}

impl Followed {
    /// The symbols in both spellings.
    fn spellings(&self) -> BTreeSet<Symbol> {
        let upper = self.symbols.iter().map(Symbol::to_upper_case);
        self.symbols.iter().cloned().chain(upper).collect()
    }

    /// The fences behind which the series are or will be.
    fn shards(&self) -> BTreeSet<i32> {
        self.spellings().iter().map(shard::of).collect()
    }
}

/// How far a client has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last epoch of each fence, by the fence's number.
    pub epochs: BTreeMap<i32, u32>,
    /// The series of which it has had points, by their ids.
    pub series: BTreeMap<i32, SeriesPosition>,
}

/// How far a client has got in one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesPosition {
    /// The quote time of the newest point that it has had.
    pub newest: Timestamp,
    /// All changes of earlier points are known up to this count of the series' fence.
    pub version: i64,
    /// If given, not all changes of that count are known, only those of points up to this quote
    /// time.
    pub within: Option<Timestamp>,
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first stored point.
    Beginning,
    /// With changes that are committed from now on.
    Now,
    /// After a position.
    After(Position),
}

/// Whether a client that keeps the points sees a new one or one of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It comes after every point of its series that the client has had.
    New,
    /// It comes at or before one of them: it is late, polled again or revised, or its average
    /// changed with such a point.
    Late,
}

/// A point as it is stored now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Symbol of its series.
    pub symbol: Symbol,
    /// Provider of its series.
    pub provider: ProviderName,
    /// Whether it is new to the client.
    pub kind: Kind,
    /// The point with its average.
    pub point: PricePoint,
}

/// A part of the changes, and the position after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The changed points.
    pub items: Vec<Change>,
    /// The position after them.
    pub position: Position,
    /// Whether more changes are stored already.
    pub more: bool,
    /// The number of series that are stored.
    pub series: usize,
    /// The counts of all fences that the series are behind, or will be. While they stay the same,
    /// nothing changes.
    pub counts: Counts,
}

/// Why the changes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// More series than [`MAX_SERIES`].
    #[error("{0} series are stored of these symbols")]
    TooManySeries(usize),
    /// The database was set back to before the position, or what changed since is forgotten.
    #[error("the changes since the position are not known")]
    Gone,
    /// Postgres is unavailable, or refuses a statement.
    #[error(transparent)]
    Postgres(#[from] Error),
}

/// A followed series that is stored.
#[derive(Clone, Debug)]
struct StoredSeries {
    series_id: i32,
    symbol: Symbol,
    provider: ProviderName,
    shard: i32,
    /// The quote time of its newest point.
    last_at: Timestamp,
}

/// Reads up to `limit` changes from `start` on.
///
/// # Errors
/// See [`ReadError`].
pub async fn read(
    connection: &mut PgConnection,
    followed: &Followed,
    start: &Start,
    limit: usize,
) -> Result<Changes, ReadError> {
    let mut snapshot = price_points::snapshot(connection).await?;
    let series = stored_series(&mut snapshot, followed).await?;
    if series.len() > MAX_SERIES {
        return Err(ReadError::TooManySeries(series.len()));
    }

    let fences = Fences::read(&mut snapshot, followed.shards()).await?;
    let changes = match start {
        Start::Now => page::nothing(&series, &fences),
        Start::Beginning => {
            page::read(&mut snapshot, &series, &fences, &Position::default(), limit).await?
        }
        Start::After(position) => {
            fences.check(&mut snapshot, &series, position).await?;
            page::read(&mut snapshot, &series, &fences, position, limit).await?
        }
    };

    snapshot.commit().await.map_err(Error::from)?;
    Ok(changes)
}

/// The followed series that have points, by their ids.
async fn stored_series(
    connection: &mut PgConnection,
    followed: &Followed,
) -> Result<Vec<StoredSeries>, Error> {
    let spellings = followed.spellings();
    let rows: Vec<(i32, String, String, Timestamp)> = sqlx::query_as(
        "select series_id, symbol, provider, last_at from series
         where symbol = any($1) and ($2::text is null or provider = $2) and last_at is not null
         order by series_id",
    )
    .bind(spellings.iter().map(Symbol::as_str).collect::<Vec<_>>())
    .bind(followed.provider.as_ref().map(ProviderName::as_str))
    .fetch_all(connection)
    .await?;

    let stored: BTreeSet<&str> = rows.iter().map(|(_, symbol, ..)| symbol.as_str()).collect();
    let resolved: BTreeSet<Symbol> = followed
        .symbols
        .iter()
        .map(|symbol| {
            if stored.contains(symbol.as_str()) {
                symbol.clone()
            } else {
                symbol.to_upper_case()
            }
        })
        .collect();

    let known: HashMap<&str, &Symbol> = resolved
        .iter()
        .map(|symbol| (symbol.as_str(), symbol))
        .collect();
    rows.iter()
        .filter_map(|(series_id, symbol, provider, last_at)| {
            let symbol = *known.get(symbol.as_str())?;
            let provider = provider
                .parse()
                .map_err(|error| Error::Rejected(sqlx::Error::decode(error)));
            Some(provider.map(|provider| StoredSeries {
                series_id: *series_id,
                symbol: symbol.clone(),
                provider,
                shard: shard::of(symbol),
                last_at: *last_at,
            }))
        })
        .collect()
}
