//! What takes a batch's JSON and stores its events.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use averager::batch;
use averager::handler::handle;
use shared::price_event::PriceEvent;
use shared::repository;
use shared::repository::ingest::Ingest;
use tokio::time::Instant;

use super::copy::Copy;
use super::insert::Unnest;
use super::naive::Naive;
use super::tables::Tables;
use crate::postgres::Server;

/// The contenders, in the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Decoding and nothing else.
    Decode,
    /// Binary COPY.
    Copy,
    /// One INSERT of arrays for each batch.
    Unnest,
    /// The averager's own code.
    Averager,
    /// Select the last five, insert, upsert: for each event.
    Naive,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Decode, Self::Copy, Self::Unnest, Self::Averager, Self::Naive];

    /// Whether it stands a quote that comes again.
    pub(super) fn takes_repeats(self) -> bool {
        !matches!(self, Self::Copy | Self::Unnest)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decode => "decoding",
            Self::Copy => "COPY",
            Self::Unnest => "UNNEST",
            Self::Averager => "the averager",
            Self::Naive => "the per-event way",
        })
    }
}

/// One writer with its own connection.
#[async_trait]
pub(crate) trait Contender: Send {
    /// Takes the JSON of an invocation's event.
    async fn take(&mut self, event: &str) -> anyhow::Result<()>;
}

impl Kind {
    /// A writer of this kind.
    pub(super) async fn open(self, server: &Server, tables: &Tables) -> anyhow::Result<Box<dyn Contender>> {
        Ok(match self {
            Self::Decode => Box::new(Decoding),
            Self::Copy => Box::new(Copy::open(server, tables).await?),
            Self::Unnest => Box::new(Unnest::open(server, tables).await?),
            Self::Averager => Box::new(Averaging::open(server)?),
            Self::Naive => Box::new(Naive::open(server, tables).await?),
        })
    }
}

/// The events of a batch, as the averager decodes them.
pub(super) fn decode(event: &str) -> anyhow::Result<Vec<PriceEvent>> {
    let batch = batch::decode(event, chrono::Utc::now())?;
    anyhow::ensure!(batch.rejected.is_empty(), "the benchmark made an event that is rejected");
    Ok(batch.events)
}

struct Decoding;

#[async_trait]
impl Contender for Decoding {
    async fn take(&mut self, event: &str) -> anyhow::Result<()> {
        std::hint::black_box(decode(event)?);
        Ok(())
    }
}

/// The code of the averager's function, with its connection as the function has it.
#[derive(Debug)]
pub(crate) struct Averaging(Ingest);

impl Averaging {
    pub(crate) fn open(server: &Server) -> anyhow::Result<Self> {
        Ok(Self(Ingest::new(repository::connect(&server.url, 1)?)))
    }
}

#[async_trait]
impl Contender for Averaging {
    async fn take(&mut self, event: &str) -> anyhow::Result<()> {
        let give_up_at = Instant::now() + Duration::from_secs(60);
        let summary = handle(&self.0, event, give_up_at).await?;
        anyhow::ensure!(summary.rejected == 0, "the benchmark made an event that is rejected");
        Ok(())
    }
}
