//! Storing batches of price events: points with their exact averages, late points repaired, rejects quarantined, each
//! batch in one transaction.
//!
//! The order of the statements is what keeps averages right under concurrency, at READ COMMITTED:
//!
//! 1. Lock the fences of the batch's series, in order, in a statement of its own (`fence`), and leave the batch's mark
//!    there. Nobody else adds points to those series until we commit, and the marks that were found tell whether anybody
//!    did since this writer's last batch. Units that are new get their numbers (`units`).
//! 2. Tails that are still known stay; the others are read by a later statement, and so from a fresh snapshot
//!    (`tails`, `series`).
//! 3. Points at or before a series' newest one (late, repeated or revised) are merged with their stored neighbours
//!    (`late`).
//! 4. Points after the newest are certainly new: their averages follow from the tail, and they are appended without
//!    looking at what is stored (`append`).
//! 5. The series get their new tails, the rejects are written; then COMMIT.
//!
//! A small batch whose points all come after what this writer remembers needs no reading, and goes in one statement
//! instead (`express`).
//!
//! Locks are always taken in this order: fences, then units, then series, then points, then rejected events.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection, Postgres};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use self::batch::Batch;
use self::fence::Passage;
use self::series::Series;
use self::tails::{Slot, Tails};
use self::units::Units;
use super::rejected_events::{self, RejectedEvent};
use super::transaction::BEGIN;
use super::{Error, connections};
use crate::market::{Currency, Timestamp};
use crate::moving_average::MovingAverage;
use crate::price::Price;
use crate::price_event::PriceEvent;

mod append;
mod batch;
mod beyond;
mod binary_copy;
mod expiry;
mod express;
mod failures;
mod fence;
mod late;
mod series;
mod shard;
mod tails;
mod units;

pub use expiry::remove_expired_series;

/// A connection used this long ago is taken without a test.
const JUST_USED: Duration = Duration::from_secs(1);

/// What became of a batch; the sum of the counts is the number of events given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Events that became new points.
    pub added: usize,
    /// Events that changed a stored point, being a later poll of the same quote.
    pub revised: usize,
    /// Events that a stored point or another event of the batch had already beaten.
    pub superseded: usize,
    /// Rejected events, stored now or before.
    pub rejected: usize,
    /// Events of quotes older than what retention has left.
    pub expired: usize,
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

/// Of two answers for one quote the greater rank wins, in whatever order they arrive. Price and unit are in it for foreign
/// events that share even their id.
fn rank(event: &PriceEvent) -> (Timestamp, Uuid, Price, Option<&Currency>) {
    (event.polled_at, event.id, event.price, event.currency.as_ref())
}

/// A writer of batches. It remembers the tails of the series it wrote, which saves reading them again as long as no
/// other writer touched them; several writers may work on one database, in one process or in many. From its first batch
/// on it keeps a connection of the pool.
#[derive(Debug)]
pub struct Ingest {
    pool: PgPool,
    memory: Mutex<Memory>,
}

/// What a writer keeps from batch to batch.
#[derive(Debug, Default)]
struct Memory {
    tails: Tails,
    /// With the time of its last use. One that goes through the pool is tested twice a batch.
    connection: Option<(PoolConnection<Postgres>, Instant)>,
}

impl Ingest {
    /// A writer that knows nothing yet.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, memory: Mutex::default() }
    }

    /// Stores `events` and `rejected` in one transaction; one batch at a time.
    ///
    /// Running it again with the same events changes nothing, in whatever order and however often they come: of all
    /// answers for one quote time the one polled last stands, and every stored average is that of its point and the
    /// up to four before it that have its unit without a break.
    ///
    /// # Errors
    /// When Postgres is away or gives up the transaction; then nothing was stored, or (when the answer to COMMIT was
    /// lost) everything, and the batch may be given again.
    pub async fn store(&self, events: &[PriceEvent], rejected: &[RejectedEvent]) -> Result<Stored, Error> {
        let mut memory = self.memory.lock().await;
        // Whatever goes wrong from here on, what was known before may be wrong too, so it is gone then.
        let mut known = std::mem::take(&mut *memory);
        let mut connection = self.connection(&mut known).await?;
        let stored = store(&mut connection, &mut known.tails, events, rejected).await?;
        *memory = Memory { tails: known.tails, connection: Some((connection, Instant::now())) };
        Ok(stored)
    }

    /// The connection of the last batch if it is sound, else another. One that was just used is sound: if it is lost
    /// all the same, the batch fails and comes again.
    ///
    /// With a connection all tails are gone: another one may lead to another server, or to another past of this one.
    async fn connection(&self, memory: &mut Memory) -> Result<PoolConnection<Postgres>, Error> {
        if let Some((mut connection, used)) = memory.connection.take() {
            if used.elapsed() < JUST_USED || connections::answers(&mut connection).await {
                return Ok(connection);
            }
            // Not given back: the pool would wait for it to come to rest.
            drop(connection.detach());
        }

        memory.tails = Tails::default();
        Ok(self.pool.acquire().await?)
    }
}

async fn store(
    connection: &mut PgConnection,
    tails: &mut Tails,
    events: &[PriceEvent],
    rejected: &[RejectedEvent],
) -> Result<Stored, Error> {
    if rejected.is_empty()
        && events.len() < append::COPY_FROM
        && let Some(stored) = go_on(connection, tails, events).await?
    {
        return Ok(stored);
    }
    merge(connection, tails, events, rejected).await
}

/// Stores events by the short way (`express`); none if they do not all go on where this writer left off.
async fn go_on(
    connection: &mut PgConnection,
    tails: &mut Tails,
    events: &[PriceEvent],
) -> Result<Option<Stored>, Error> {
    let mut batch = Batch::of(events.iter());
    let Some(fences) = tails.fences(&batch.shards()) else { return Ok(None) };
    let Some(numbers) = tails.units.numbers(batch.currencies()) else { return Ok(None) };
    let mut series: Vec<Series> = tails.take(batch.keys()).into_iter().filter_map(Slot::known).collect();
    let all_known = series.len() == batch.keys().len();
    let answers = if all_known { batch.newest_answers(&mut series) } else { Vec::new() };
    let (late, new) = split(&series, answers);
    if !late.is_empty() || new.is_empty() {
        tails.put_back(series);
        return Ok(None);
    }
    let points = extend(&mut series, &new, &tails.units)?;
    let token = Uuid::new_v4();
    let known = express::Known { fences: &fences, currencies: batch.currencies(), numbers: &numbers };
    if !express::append(connection, known, token, &points, &series).await? {
        return Ok(None);
    }
    tails.keep(series, &fences, token);
    let (added, superseded) = (points.len(), events.len() - points.len());
    Ok(Some(Stored { added, superseded, ..Stored::default() }))
}

/// Stores any events, in a transaction of several statements.
async fn merge(
    connection: &mut PgConnection,
    tails: &mut Tails,
    events: &[PriceEvent],
    rejected: &[RejectedEvent],
) -> Result<Stored, Error> {
    let mut stored = Stored { rejected: rejected.len(), ..Stored::default() };
    let mut batch = Batch::of(events.iter());
    let mut transaction = connection.begin_with(BEGIN).await?;
    let token = Uuid::new_v4();
    let passage = fence::pass(&mut transaction, &batch.shards(), batch.currencies(), token).await?;
    let Passage { fences, points_from, units } = passage;
    stored.expired = batch.expire(points_from);
    tails.forget_unless(&fences);
    let mut series = tails.take(batch.keys());
    series::read_or_insert(&mut transaction, &mut series).await?;
    let mut series: Vec<Series> = series.into_iter().filter_map(Slot::known).collect();

    let answers = batch.newest_answers(&mut series);
    let (late, new) = split(&series, answers);
    late::merge(&mut transaction, &mut series, &late, &units, &mut stored).await?;
    let points = extend(&mut series, &new, &units)?;
    append::points(&mut transaction, &points).await?;
    series::update(&mut transaction, &series).await?;
    rejected_events::insert(&mut transaction, rejected).await?;
    transaction.commit().await?;

    tails.keep(series, &fences, token);
    tails.units.extend(units);
    stored.added += points.len();
    stored.superseded = events.len() - stored.expired - stored.added - stored.revised;
    Ok(stored)
}

/// Events with the index of their series among those of the batch, by series and time.
type Indexed<'a> = Vec<(usize, &'a PriceEvent)>;

/// Adds points after the newest ones of their series.
fn extend(series: &mut [Series], new: &Indexed<'_>, units: &Units) -> Result<Vec<Point>, Error> {
    let mut points = Vec::with_capacity(new.len());
    for (index, event) in new {
        points.push(series[*index].extend(event, units::of_event(units, event)?));
    }
    Ok(points)
}

/// Parts the events into those at or before their series' newest point, and those after it.
fn split<'a>(series: &[Series], answers: Indexed<'a>) -> (Indexed<'a>, Indexed<'a>) {
    answers.into_iter().partition(|(index, event)| {
        series[*index].newest.as_ref().is_some_and(|newest| event.timestamp <= newest.quoted_at)
    })
}
