//! Stores batches of price events: appends points with their exact averages, merges late points
//! into their series, and puts rejected events into quarantine. Each batch is one transaction.
//!
//! At READ COMMITTED, the order of the statements keeps the averages right when several writers
//! run:
//!
//! 1. Lock the fences of the batch's series, in order, in a statement of its own (`fence`), and
//!    leave the batch's mark there. No other writer adds points to those series until this one
//!    commits. The marks found there show whether another writer has done so since this writer's
//!    last batch. New units get their numbers (`units`).
//! 2. Keep the remembered tails that are still valid. Read the others in a later statement, and so
//!    from a fresh snapshot (`tails`, `series`).
//! 3. Merge the points at or before their series' newest one (late, repeated or revised) with their
//!    stored neighbours (`late`), mark the folds that they change (`stale`), and list those that
//!    changed (`changed`).
//! 4. Append the points after the newest one. They are certainly new, and their averages follow
//!    from the tail, so no stored point is read (`append`).
//! 5. Write the new tails of the series and the rejected events; then COMMIT.
//!
//! A small batch whose points all come after the tails that this writer remembers needs no reading.
//! It takes one statement instead (`express`).
//!
//! Locks are always taken in this order: fences, then units, then points, then folds (`folding`),
//! then series, then rejected events.

use std::ops::Add;
use std::time::Duration;

use serde::Serialize;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection, Postgres};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use self::events_by_series::EventsBySeries;
use self::fence::Passage;
use self::series::{SeriesState, Slot};
use self::tails::Tails;
use self::units::Units;
use super::rejected_events::{self, RejectedEvent};
use super::transaction::BEGIN;
use super::{Error, connections};
use crate::market::{Currency, Timestamp};
use crate::moving_average::MovingAverage;
use crate::price::Price;
use crate::price_event::PriceEvent;

mod added;
mod append;
mod beyond;
mod binary_copy;
mod changed;
mod counting;
mod events_by_series;
mod expiry;
mod express;
mod failures;
mod fence;
mod folding;
mod late;
mod series;
pub(super) mod shard;
mod stale;
mod tails;
mod units;

pub use counting::count_points;
pub use expiry::remove_expired_series;
pub use folding::fold_quarters;

/// A connection that was used less than this ago is not tested before its next use.
const JUST_USED: Duration = Duration::from_secs(1);

/// Makes a session plan each statement once, and by index.
///
/// By default Postgres plans the statements of small batches again each time, since it
/// overestimates what arrays of unknown length cost; that took a fifth of its time. No plan here
/// depends on the values, only on the number of rows, and all of them look rows up by their keys.
/// Such a plan must not be made by the statistics of a partition that is still small: reading all
/// of it would look fastest, and would stay so while the partition grows. The session belongs to
/// this writer alone.
///
/// A table that has no index for its condition, such as `retention`, then counts as extremely
/// expensive to read. So the compiler of plans must be off, which Postgres would otherwise run for
/// each batch, for a third of a second.
const PLAN_ONCE_BY_INDEX: &str =
    "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set jit = off";

/// The number of a batch's events by their outcome; their sum is the number of events given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Events that became new points.
    pub added: usize,
    /// Events that changed a stored point, because they are a later poll of its quote.
    pub revised: usize,
    /// Events that lost to a stored point or to another event of the batch.
    pub superseded: usize,
    /// Rejected events, stored now or before.
    pub rejected: usize,
    /// Events whose quotes are older than retention keeps.
    pub expired: usize,
}

impl Add for Stored {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            added: self.added + other.added,
            revised: self.revised + other.revised,
            superseded: self.superseded + other.superseded,
            rejected: self.rejected + other.rejected,
            expired: self.expired + other.expired,
        }
    }
}

/// A row of `price_points`, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Point {
    series_id: i32,
    quoted_at: Timestamp,
    polled_at: Timestamp,
    event_id: Uuid,
    price: Price,
    average: MovingAverage,
    unit_id: i16,
}

/// Orders the answers for one quote: the greatest rank wins, in any order of arrival. Price and
/// unit are part of it because foreign producers may reuse an event id.
fn rank(event: &PriceEvent) -> (Timestamp, Uuid, Price, Option<&Currency>) {
    (
        event.polled_at,
        event.id,
        event.price,
        event.currency.as_ref(),
    )
}

/// A writer of batches. It remembers the tails of the series that it wrote, so it need not read
/// them again until another writer changes them. Several writers may work on one database, in one
/// process or in many. From its first batch on, a writer keeps one connection of the pool.
#[derive(Debug)]
pub struct Ingest {
    pool: PgPool,
    memory: Mutex<Memory>,
}

/// What a writer keeps from batch to batch.
#[derive(Debug, Default)]
struct Memory {
    tails: Tails,
    /// The connection, with the time of its last use. The pool would test it twice for each batch.
    connection: Option<(PoolConnection<Postgres>, Instant)>,
}

impl Ingest {
    /// A writer that remembers nothing yet.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            memory: Mutex::default(),
        }
    }

    /// Stores `events` and `rejected` in one transaction; one batch at a time.
    ///
    /// Storing the same events again changes nothing, in any order and any number of times. Of all
    /// answers for one quote time, the one polled last is kept. Every stored average is that of its
    /// point and the up to four points before it that have its unit without a break.
    ///
    /// # Errors
    /// When Postgres is unavailable or aborts the transaction. Then nothing was stored or, if only
    /// the answer to COMMIT was lost, everything. In both cases the batch may be stored again.
    pub async fn store(
        &self,
        events: &[PriceEvent],
        rejected: &[RejectedEvent],
    ) -> Result<Stored, Error> {
        let mut memory = self.memory.lock().await;
        // The memory is taken out first: if the batch fails or is cancelled, its outcome is
        // unknown, and the remembered tails may be wrong.
        let mut known = std::mem::take(&mut *memory);
        let mut connection = self.connection(&mut known).await?;

        let tails = &mut known.tails;
        let is_small = rejected.is_empty() && events.len() < append::COPY_FROM;
        let appended = if is_small {
            append_in_one_statement(&mut connection, tails, events).await?
        } else {
            None
        };
        let stored = match appended {
            Some(stored) => stored,
            None => store_in_steps(&mut connection, tails, events, rejected).await?,
        };

        *memory = Memory {
            tails: known.tails,
            connection: Some((connection, Instant::now())),
        };
        Ok(stored)
    }

    /// Returns the connection of the last batch if it still works, or another one. A connection
    /// that was used within [`JUST_USED`] is not tested: if it is broken, the batch fails, and its
    /// caller stores it again.
    ///
    /// A new connection clears the remembered tails: it may lead to another server, or to a
    /// database that was restored to an earlier state.
    async fn connection(&self, memory: &mut Memory) -> Result<PoolConnection<Postgres>, Error> {
        if let Some((mut connection, used)) = memory.connection.take() {
            if used.elapsed() < JUST_USED || connections::answers(&mut connection).await {
                return Ok(connection);
            }
            // Detached, not released: the pool would wait for it to become idle, and count it until
            // then.
            drop(connection.detach());
        }

        memory.tails = Tails::default();
        let mut connection = self.pool.acquire().await?;
        sqlx::raw_sql(PLAN_ONCE_BY_INDEX)
            .execute(&mut *connection)
            .await?;
        Ok(connection)
    }
}

/// Stores the events in one statement (`express`). Returns `None`, with nothing written, if some do
/// not come after remembered tails, or if these tails are no longer valid.
async fn append_in_one_statement(
    connection: &mut PgConnection,
    tails: &mut Tails,
    events: &[PriceEvent],
) -> Result<Option<Stored>, Error> {
    let mut batch = EventsBySeries::of(events.iter());

    // The memory is checked before tails are taken out of it, so these returns leave it intact.
    let Some(marks) = tails.marks(&batch.shards()) else {
        return Ok(None);
    };
    let Some(numbers) = tails.units.numbers(batch.currencies()) else {
        return Ok(None);
    };

    let mut series: Vec<SeriesState> = tails
        .take(batch.keys())
        .into_iter()
        .filter_map(Slot::known)
        .collect();
    let all_known = series.len() == batch.keys().len();

    let answers = if all_known {
        batch.sort_by_series_id(&mut series);
        batch.take_newest_answers()
    } else {
        Vec::new()
    };
    let (late, new) = split(&series, answers);
    if !late.is_empty() || new.is_empty() {
        tails.put_back(series);
        return Ok(None);
    }

    let points = extend(&mut series, &new, &tails.units)?;
    let token = Uuid::new_v4();

    let known = express::Known {
        marks: &marks,
        currencies: batch.currencies(),
        numbers: &numbers,
    };
    if !express::append(connection, known, token, &points, &series).await? {
        // Not put back: these series already contain the points that were not written.
        return Ok(None);
    }

    tails.keep(series, &marks, token);
    let (added, superseded) = (points.len(), events.len() - points.len());
    Ok(Some(Stored {
        added,
        superseded,
        ..Stored::default()
    }))
}

/// Stores any batch, in a transaction of several statements: the five steps of the module's
/// documentation.
async fn store_in_steps(
    connection: &mut PgConnection,
    tails: &mut Tails,
    events: &[PriceEvent],
    rejected: &[RejectedEvent],
) -> Result<Stored, Error> {
    let mut stored = Stored {
        rejected: rejected.len(),
        ..Stored::default()
    };
    let mut batch = EventsBySeries::of(events.iter());

    // 1. Lock the fences first: the statements after this one see what their last holder committed.
    let mut transaction = connection.begin_with(BEGIN).await?;
    let token = Uuid::new_v4();
    let passage = fence::pass(&mut transaction, &batch.shards(), batch.currencies(), token).await?;
    let Passage {
        marks,
        points_from,
        units,
    } = passage;

    // 2. Get the tails: keep those still valid, and read the others. Expired events leave the batch
    //    first, so that a series with no other event is not created.
    stored.expired = batch.expire(points_from);
    tails.forget_changed(&marks);
    let mut series = tails.take(batch.keys());
    series::read_or_insert(&mut transaction, &mut series).await?;
    let mut series: Vec<SeriesState> = series.into_iter().filter_map(Slot::known).collect();

    // 3. Merge the late points. They come before the new ones because they may change the tails
    //    from which the new averages follow.
    batch.sort_by_series_id(&mut series);
    let answers = batch.take_newest_answers();
    let (late, new) = split(&series, answers);
    late::merge(
        &mut transaction,
        &mut series,
        &late,
        &units,
        &marks,
        &mut stored,
    )
    .await?;

    // 4. Append the points after the newest ones.
    let points = extend(&mut series, &new, &units)?;
    append::points(&mut transaction, &points).await?;

    // 5. Write the new tails and the rejected events, then commit.
    series::update(&mut transaction, &series).await?;
    rejected_events::insert(&mut transaction, rejected).await?;
    transaction.commit().await?;

    // Only a committed batch is remembered. The units follow because `keep` may clear the whole
    // memory.
    tails.keep(series, &marks, token);
    tails.units.extend(units);

    stored.added += points.len();
    stored.superseded = events.len() - stored.expired - stored.added - stored.revised;
    Ok(stored)
}

/// Events with the index of their series among those of the batch, by series and time.
type Indexed<'a> = Vec<(usize, &'a PriceEvent)>;

/// Extends each series by its new points, which come after its newest one.
fn extend(
    series: &mut [SeriesState],
    new: &Indexed<'_>,
    units: &Units,
) -> Result<Vec<Point>, Error> {
    let mut points = Vec::with_capacity(new.len());
    for (index, event) in new {
        points.push(series[*index].extend(event, units::of_event(units, event)?));
    }
    Ok(points)
}

/// Splits the events into those at or before their series' newest point, and those after it.
fn split<'a>(series: &[SeriesState], answers: Indexed<'a>) -> (Indexed<'a>, Indexed<'a>) {
    answers.into_iter().partition(|(index, event)| {
        series[*index]
            .newest
            .as_ref()
            .is_some_and(|newest| event.timestamp <= newest.quoted_at)
    })
}
