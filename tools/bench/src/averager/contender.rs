//! What takes a batch's JSON and stores its events.

use async_trait::async_trait;
use averager::batch;
use shared::price_event::PriceEvent;

/// One writer with its own connection.
#[async_trait]
pub(crate) trait Contender: Send {
    /// Takes the JSON of an invocation's event.
    async fn take(&mut self, event: &str) -> anyhow::Result<()>;
}

/// The events of a batch, as the averager decodes them.
pub(super) fn decode(event: &str) -> anyhow::Result<Vec<PriceEvent>> {
    let batch = batch::decode(event, chrono::Utc::now())?;
    anyhow::ensure!(
        batch.rejected.is_empty(),
        "the benchmark made an event that is rejected"
    );
    Ok(batch.events)
}
