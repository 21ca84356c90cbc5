//! Storing a batch of price events: points with their exact averages, late points repaired, rejects quarantined, in
//! one transaction.
//!
//! The order of the statements is what keeps averages right under concurrency, at READ COMMITTED:
//!
//! 1. Lock the batch's series, in the order of their ids, in a statement of its own. It returns their tails as the
//!    last writer left them, and nobody else adds points to them until we commit.
//! 2. Points at or before a series' newest one (late, repeated or revised) are merged with their stored neighbours,
//!    read by a later statement and so from a fresh snapshot (`late`).
//! 3. Points after the newest are certainly new: their averages follow from the tail, and they are appended without
//!    looking at what is stored (`append`).
//! 4. The series get their new tails; then the rejects are written; then COMMIT.
//!
//! Locks are always taken in this order: series by id, then points, then rejected events.

use std::collections::BTreeMap;

use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool};
use uuid::Uuid;

use self::series::LockedSeries;
use super::Error;
use super::rejected_events::{self, RejectedEvent};
use crate::market::{ProviderName, Symbol, Timestamp};
use crate::moving_average::MovingAverage;
use crate::price::Price;
use crate::price_event::PriceEvent;

mod append;
mod binary_copy;
mod late;
mod series;

/// What became of a batch; the sum of the four counts is the number of events given.
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
}

/// The answers of a batch that are left when each quote keeps only the one polled last: by series, oldest first.
type Answers<'a> = BTreeMap<(&'a Symbol, &'a ProviderName), BTreeMap<Timestamp, &'a PriceEvent>>;

/// Of two answers for one quote the greater rank wins, in whatever order they arrive.
fn rank(event: &PriceEvent) -> (Timestamp, Uuid) {
    (event.polled_at, event.id)
}

/// Stores `events` and `rejected` in one transaction.
///
/// Running it again with the same events changes nothing, in whatever order and however often they come: of all
/// answers for one quote time the one polled last stands, and every stored average is that of its point and the up to
/// four before it.
///
/// # Errors
/// When Postgres is away or gives up the transaction; then nothing was stored, or (when the answer to COMMIT was
/// lost) everything, and the batch may be given again.
pub async fn store_batch(
    pool: &PgPool,
    events: &[PriceEvent],
    rejected: &[RejectedEvent],
) -> Result<Stored, Error> {
    let batch = newest_answers(events);
    let mut connection = pool.acquire().await?;
    let mut stored = loop {
        series::insert_missing(&mut connection, batch.keys()).await?;
        if let Some(stored) = store_known(&mut connection, &batch, rejected).await? {
            break stored;
        }
        // A series that was there a moment ago is gone: somebody emptied the tables. Make it again.
    };
    stored.superseded = events.len() - stored.added - stored.revised;
    stored.rejected = rejected.len();
    Ok(stored)
}

/// Groups the events by series, keeping for each quote time the answer polled last.
fn newest_answers(events: &[PriceEvent]) -> Answers<'_> {
    let mut answers = Answers::new();
    for event in events {
        let series = answers.entry((&event.symbol, &event.provider)).or_default();
        let winner = series.entry(event.timestamp).or_insert(event);
        if rank(event) > rank(winner) {
            *winner = event;
        }
    }
    answers
}

/// The transaction; `None` when a series of the batch does not exist.
async fn store_known(
    connection: &mut PgConnection,
    batch: &Answers<'_>,
    rejected: &[RejectedEvent],
) -> Result<Option<Stored>, Error> {
    let mut transaction = connection.begin_with("begin isolation level read committed").await?;
    let mut locked = series::lock(&mut transaction, batch.keys()).await?;
    if locked.len() < batch.len() {
        return Ok(None);
    }
    let mut stored = Stored::default();
    let (late, new) = split(&locked, batch);
    late::merge(&mut transaction, &mut locked, &late, &mut stored).await?;
    let points = extend(&mut locked, &new);
    stored.added += points.len();
    append::points(&mut transaction, &points).await?;
    series::update(&mut transaction, &locked).await?;
    rejected_events::insert(&mut transaction, rejected).await?;
    transaction.commit().await?;
    Ok(Some(stored))
}

/// Events by the index of their series among the locked ones.
type Indexed<'a> = Vec<(usize, &'a PriceEvent)>;

/// Parts the events into those at or before their series' newest point, and those after it.
fn split<'a>(locked: &[LockedSeries], batch: &Answers<'a>) -> (Indexed<'a>, Indexed<'a>) {
    let (mut late, mut new) = (Vec::new(), Vec::new());
    for (index, series) in locked.iter().enumerate() {
        let Some(events) = batch.get(&(&series.key.0, &series.key.1)) else { continue };
        for event in events.values() {
            let is_late = series.newest.as_ref().is_some_and(|newest| event.timestamp <= newest.quoted_at);
            if is_late { &mut late } else { &mut new }.push((index, *event));
        }
    }
    (late, new)
}

/// Averages the new events from their series' tails, which move along.
fn extend(locked: &mut [LockedSeries], new: &Indexed<'_>) -> Vec<Point> {
    new.iter().map(|(index, event)| locked[*index].extend(event)).collect()
}
