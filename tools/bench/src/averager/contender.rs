//! The interface of everything that takes a batch's JSON and stores its events.

use async_trait::async_trait;
use averager::batch;
use shared::price_event::PriceEvent;

/// A writer with its own connection.
#[async_trait]
pub(crate) trait Contender: Send {
    /// Stores the events of an invocation, given its event as JSON.
    async fn take(&mut self, event: &str) -> anyhow::Result<()>;
}

/// The events of a batch, decoded as the averager decodes them.
pub(super) fn decode(event: &str) -> anyhow::Result<Vec<PriceEvent>> {
    let batch = batch::decode(event.as_bytes(), chrono::Utc::now())?;

    anyhow::ensure!(
        batch.rejected.is_empty(),
        "the benchmark made an event that is rejected"
    );

    Ok(batch.events)
}
