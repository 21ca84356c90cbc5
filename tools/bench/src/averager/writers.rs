//! The writers of one contender, each with its own connection and events.

use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::case::Case;
use super::contender::Contender;
use super::kind::Kind;
use super::opening::open;
use super::tables::Tables;
use crate::cpu;
use crate::feed::{Delivery, Feed};
use crate::postgres::Server;

/// The most events of a slice. Their JSON is generated in advance and held in memory.
const MOST_EVENTS: f64 = 400_000.0;
/// The size of a batch for the contender that stores events one by one.
const NAIVE_BATCH: usize = 100;

pub(super) struct Writers {
    kind: Kind,
    batch: usize,
    writers: Vec<(Feed, Box<dyn Contender>)>,
}

/// What one contender did in one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    events: f64,
    wall: Duration,
    client: Duration,
    server: Duration,
}

impl Slice {
    /// Events per second.
    pub(super) fn rate(&self) -> f64 {
        self.events / self.wall.as_secs_f64()
    }

    /// CPU time of client and server per event, in microseconds.
    pub(super) fn cpu_micros(&self) -> f64 {
        (self.client + self.server).as_secs_f64() * 1e6 / self.events
    }

    /// CPU time of the client alone per event, in microseconds.
    pub(super) fn client_cpu_micros(&self) -> f64 {
        self.client.as_secs_f64() * 1e6 / self.events
    }
}

impl Writers {
    pub(super) async fn open(
        case: Case,
        kind: Kind,
        server: &Server,
        tables: &Tables,
    ) -> anyhow::Result<Self> {
        let delivery = if kind.takes_repeats() {
            case.delivery
        } else {
            Delivery::Clean
        };

        let mut writers = Vec::new();
        for writer in 0..case.connections {
            let feed = tables.feed(kind, (writer, case.connections), delivery)?;
            writers.push((feed, open(kind, server, tables).await?));
        }

        Ok(Self {
            kind,
            batch: if kind == Kind::Naive {
                NAIVE_BATCH
            } else {
                case.batch
            },
            writers,
        })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Warms up, and determines how many events take about `seconds`.
    pub(super) async fn calibrate(
        &mut self,
        server: &Server,
        seconds: f64,
    ) -> anyhow::Result<usize> {
        let mut few = self.batch * self.writers.len();
        loop {
            let slice = self.slice(server, few).await?;

            let wanted = (slice.rate() * seconds).clamp(1.0, MOST_EVENTS);
            if slice.wall.as_secs_f64() > seconds / 5.0 || slice.events >= MOST_EVENTS {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "clamped above"
                )]
                return Ok(wanted as usize);
            }

            few *= 4;
        }
    }

    /// Takes about this many events, in whole batches, all writers concurrently.
    pub(super) async fn slice(&mut self, server: &Server, events: usize) -> anyhow::Result<Slice> {
        let batches = events.div_ceil(self.batch * self.writers.len());

        // The batches are generated before the clock starts.
        let mut work = Vec::new();
        for (mut feed, contender) in self.writers.drain(..) {
            let events = (0..batches)
                .map(|_| feed.batch(self.batch))
                .collect::<anyhow::Result<Vec<_>>>()?;
            work.push((feed, contender, events));
        }

        let writers = work.len();

        let (client, database, started) = (cpu::of_this_process(), server.cpu(), Instant::now());

        let tasks = work.into_iter().map(|(feed, mut contender, events)| {
            tokio::spawn(async move {
                for event in &events {
                    contender.take(event).await?;
                }
                anyhow::Ok((feed, contender))
            })
        });

        for writer in try_join_all(tasks).await? {
            self.writers.push(writer?);
        }

        Ok(Slice {
            wall: started.elapsed(),
            client: cpu::of_this_process().saturating_sub(client),
            server: server.cpu().saturating_sub(database),
            events: (batches * self.batch * writers) as f64,
        })
    }

    /// Records what was sent, so that the next case continues after it.
    pub(super) fn close(&self, tables: &mut Tables) {
        for (feed, _) in &self.writers {
            tables.sent(self.kind, feed);
        }
    }
}
