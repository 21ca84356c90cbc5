//! Records permanent failures of the averager, for `GET /health`.

use tokio::time::Instant;

use super::{Error, Ingest};
use crate::repository::part_states::{self, Part};

impl Ingest {
    /// Records a failure of the averager that does not end by waiting. It uses the writer's own
    /// connection, which may be the only one of its pool. `GET /health` shows `error` to every
    /// client.
    ///
    /// # Errors
    /// When Postgres is unavailable or refuses the statement.
    pub async fn note_failure(&self, error: &str) -> Result<(), Error> {
        let mut memory = self.memory.lock().await;
        let mut connection = self.connection(&mut memory).await?;

        part_states::failed(&mut *connection, Part::Averager, error).await?;

        memory.connection = Some((connection, Instant::now()));
        Ok(())
    }
}
