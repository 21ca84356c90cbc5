//! A steady load, and a reader that finds when averages are visible again after a kill.
//!
//! The reader watches a sample of the events. About once a millisecond it reads the series of all
//! of them in one statement. An event counts as visible once a read finds its quote, or a later
//! one, as the newest of its series.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::market::Timestamp;
use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::kafka::{Broker, Producer};
use crate::feed::{Feed, PROVIDER};
use crate::postgres::Server;

/// The time between two events.
const PACE: Duration = Duration::from_millis(1);
/// One of this many events is watched.
const SAMPLE: usize = 20;

/// A watched event whose average has become visible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) produced: Instant,
    pub(super) visible: Instant,
}

#[derive(Debug, Default)]
struct Watched {
    waiting: HashMap<String, (Timestamp, Instant)>,
    seen: Vec<Seen>,
}

/// The load, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Load {
    watched: Arc<Mutex<Watched>>,
    tasks: [JoinHandle<anyhow::Result<()>>; 2],
}

impl Load {
    /// Starts a load of 1,000 events a second.
    pub(super) async fn start(
        broker: &Broker,
        server: &Server,
        topic: String,
        feed: Feed,
    ) -> anyhow::Result<Self> {
        let watched = Arc::<Mutex<Watched>>::default();
        let producer = broker.producer("0")?;
        let connection = server.connection().await?;

        let tasks = [
            tokio::spawn(produce(producer, topic, feed, Arc::clone(&watched))),
            tokio::spawn(watch(connection, Arc::clone(&watched))),
        ];

        Ok(Self { watched, tasks })
    }

    /// The watched events that were produced from `since` on and are visible.
    pub(super) fn seen_since(&self, since: Instant) -> anyhow::Result<Vec<Seen>> {
        anyhow::ensure!(
            self.tasks.iter().all(|task| !task.is_finished()),
            "the load ended by itself"
        );

        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(watched
            .seen
            .iter()
            .filter(|seen| seen.produced >= since)
            .copied()
            .collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn produce(
    producer: Producer,
    topic: String,
    mut feed: Feed,
    watched: Arc<Mutex<Watched>>,
) -> anyhow::Result<()> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);

    for number in 0_usize.. {
        pace.tick().await;

        let record = feed.record()?;
        if number.is_multiple_of(SAMPLE) {
            let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched
                .waiting
                .entry(record.key.clone())
                .or_insert((record.quoted_at, Instant::now()));
        }

        producer.send(&topic, &record)?;
    }

    Ok(())
}

async fn watch(mut connection: PgConnection, watched: Arc<Mutex<Watched>>) -> anyhow::Result<()> {
    loop {
        sleep(PACE).await;

        let (symbols, times): (Vec<String>, Vec<Timestamp>) = {
            let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched
                .waiting
                .iter()
                .map(|(symbol, (quoted_at, _))| (symbol.clone(), *quoted_at))
                .unzip()
        };

        let visible: Vec<String> = sqlx::query_scalar(
            "select s.symbol from unnest($1::text[], $2::timestamptz[]) as w(symbol, quoted_at)
             join series s on s.symbol = w.symbol and s.provider = $3 and s.last_at >= w.quoted_at",
        )
        .bind(symbols)
        .bind(times)
        .bind(PROVIDER)
        .fetch_all(&mut connection)
        .await?;

        let now = Instant::now();
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);

        for symbol in visible {
            if let Some((_, produced)) = watched.waiting.remove(&symbol) {
                watched.seen.push(Seen {
                    produced,
                    visible: now,
                });
            }
        }
    }
}
