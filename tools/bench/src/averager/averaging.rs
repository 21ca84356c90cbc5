//! The averager's own code, with a connection like the function's.

use std::time::Duration;

use async_trait::async_trait;
use averager::handler::handle;
use shared::repository;
use shared::repository::ingest::Ingest;
use tokio::time::Instant;

use super::contender::Contender;
use crate::postgres::Server;

/// A contender that runs the averager's own code.
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

        anyhow::ensure!(
            summary.rejected == 0,
            "the benchmark made an event that is rejected"
        );

        Ok(())
    }
}
