//! The load: a thread that sends events at fixed times and notes when it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::end_to_end::kafka::Producer;
use crate::feed::Feed;

/// An event that was sent. Its times are in microseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) symbol: String,
    pub(super) quoted_at: i64,
    pub(super) partition: u32,
    /// When it was to be sent.
    pub(super) intended: i64,
    /// When it was handed to the Kafka client. Later than intended where the thread had to wait for
    /// a core, or for room in the client's queue.
    pub(super) sent: i64,
}

/// The running load.
#[derive(Debug)]
pub(super) struct Generator {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Vec<Sent>>>,
}

impl Generator {
    /// Sends the events of `feed` to `topic`, so many each second.
    pub(super) fn start(producer: Producer, topic: String, feed: Feed, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let load = Load {
            producer,
            topic,
            feed,
            rate,
        };
        let thread = thread::spawn(move || load.send(&stopped));
        Self { stop, thread }
    }

    /// Ends the load, and returns what was sent once the broker has acknowledged it.
    pub(super) fn stop(self) -> anyhow::Result<Vec<Sent>> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.thread.join();
        sent.ok().context("the load panicked")?
    }
}

/// What is sent, and where to.
struct Load {
    producer: Producer,
    topic: String,
    feed: Feed,
    /// Events per second.
    rate: u32,
}

impl Load {
    /// Sends until `stop`, and returns what was sent once the broker has acknowledged it.
    fn send(mut self, stop: &AtomicBool) -> anyhow::Result<Vec<Sent>> {
        let (started, clock) = (Instant::now(), now()?);
        let mut log = Vec::new();

        for number in 0_u32.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }

            // Made before its time, so that making it delays nothing.
            let record = self.feed.record()?;
            let due = Duration::from_secs(1) * number / self.rate;
            if let Some(early) = due.checked_sub(started.elapsed()) {
                thread::sleep(early);
            }

            let sent = now()?;
            self.producer.send(&self.topic, &record)?;
            log.push(Sent {
                symbol: record.key,
                quoted_at: record.quoted_at.timestamp_micros(),
                partition: record.partition,
                intended: clock + i64::try_from(due.as_micros())?,
                sent,
            });
        }

        self.producer.flush()?;
        Ok(log)
    }
}

/// Microseconds since 1970.
pub(super) fn now() -> anyhow::Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros(),
    )?)
}
