//! Storing batches of price events: points with their exact averages, late points repaired, rejects quarantined, each
//! batch in one transaction.
//!
//! The order of the statements is what keeps averages right under concurrency, at READ COMMITTED:
//!
//! 1. Lock the fences of the batch's series, in order, in a statement of its own (`fence`), and count the batch there.
//!    Nobody else adds points to those series until we commit, and the fences tell whether anybody did since this
//!    writer's last batch.
//! 2. Tails that are still known stay; the others are read by a later statement, and so from a fresh snapshot
//!    (`tails`, `series`).
//! 3. Points at or before a series' newest one (late, repeated or revised) are merged with their stored neighbours
//!    (`late`).
//! 4. Points after the newest are certainly new: their averages follow from the tail, and they are appended without
//!    looking at what is stored (`append`).
//! 5. The series get their new tails, the rejects are written; then COMMIT.
//!
//! Locks are always taken in this order: fences, then series, then points, then rejected events.

use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::batch::Batch;
use self::series::Series;
use self::tails::Tails;
use super::Error;
use super::rejected_events::{self, RejectedEvent};
use crate::market::Timestamp;
use crate::moving_average::MovingAverage;
use crate::price::Price;
use crate::price_event::PriceEvent;

mod append;
mod batch;
mod binary_copy;
mod fence;
mod late;
mod series;
mod shard;
mod tails;

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
}

/// Of two answers for one quote the greater rank wins, in whatever order they arrive. The price is in it for foreign
/// events that share even their id.
fn rank(event: &PriceEvent) -> (Timestamp, Uuid, Price) {
    (event.polled_at, event.id, event.price)
}

/// A writer of batches. It remembers the tails of the series it wrote, which saves reading them again as long as no
/// other writer touched them; several writers may work on one database, in one process or in many.
#[derive(Debug)]
pub struct Ingest {
    pool: PgPool,
    tails: Mutex<Tails>,
}

impl Ingest {
    /// A writer that knows nothing yet.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, tails: Mutex::default() }
    }

    /// Stores `events` and `rejected` in one transaction; one batch at a time.
    ///
    /// Running it again with the same events changes nothing, in whatever order and however often they come: of all
    /// answers for one quote time the one polled last stands, and every stored average is that of its point and the
    /// up to four before it.
    ///
    /// # Errors
    /// When Postgres is away or gives up the transaction; then nothing was stored, or (when the answer to COMMIT was
    /// lost) everything, and the batch may be given again.
    pub async fn store(&self, events: &[PriceEvent], rejected: &[RejectedEvent]) -> Result<Stored, Error> {
        let mut known = self.tails.lock().await;
        // Whatever goes wrong from here on, what was known before may be wrong too, so it is gone then.
        let mut tails = std::mem::take(&mut *known);
        let mut connection = self.pool.acquire().await?;
        let stored = store(&mut connection, &mut tails, events, rejected).await?;
        *known = tails;
        Ok(stored)
    }
}

async fn store(
    connection: &mut PgConnection,
    tails: &mut Tails,
    events: &[PriceEvent],
    rejected: &[RejectedEvent],
) -> Result<Stored, Error> {
    let mut stored = Stored { rejected: rejected.len(), ..Stored::default() };
    let mut batch = Batch::of(events.iter());
    let mut transaction = connection.begin_with("begin isolation level read committed").await?;
    let (fences, points_from) = fence::pass(&mut transaction, &batch.shards()).await?;
    stored.expired = batch.expire(points_from);
    tails.forget_unless(&fences);
    let mut series = tails.take(batch.keys());
    series::read_or_insert(&mut transaction, &mut series).await?;
    let mut series: Vec<Series> = series.into_iter().flatten().collect();

    let answers = batch.newest_answers(&mut series);
    let (late, new) = split(&series, answers);
    late::merge(&mut transaction, &mut series, &late, &mut stored).await?;
    let points: Vec<Point> = new.iter().map(|(index, event)| series[*index].extend(event)).collect();
    append::points(&mut transaction, &points).await?;
    series::update(&mut transaction, &series).await?;
    rejected_events::insert(&mut transaction, rejected).await?;
    transaction.commit().await?;

    tails.keep(series, &fences);
    stored.added += points.len();
    stored.superseded = events.len() - stored.expired - stored.added - stored.revised;
    Ok(stored)
}

/// Events with the index of their series among those of the batch, by series and time.
type Indexed<'a> = Vec<(usize, &'a PriceEvent)>;

/// Parts the events into those at or before their series' newest point, and those after it.
fn split<'a>(series: &[Series], answers: Indexed<'a>) -> (Indexed<'a>, Indexed<'a>) {
    answers.into_iter().partition(|(index, event)| {
        series[*index].newest.as_ref().is_some_and(|newest| event.timestamp <= newest.quoted_at)
    })
}
