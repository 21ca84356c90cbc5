//! Noting what went wrong for good, for `GET /health`.

use tokio::time::Instant;

use super::{Error, Ingest};
use crate::repository::part_states::{self, Part};

impl Ingest {
    /// Notes a failure of the averager that waiting does not mend. It takes the writer's own connection, which may be the
    /// only one of its pool. `GET /health` shows `error` to everybody.
    ///
    /// # Errors
    /// When Postgres is away or refuses.
    pub async fn note_failure(&self, error: &str) -> Result<(), Error> {
        let mut memory = self.memory.lock().await;
        let mut connection = self.connection(&mut memory).await?;
        part_states::failed(&mut *connection, Part::Averager, error).await?;
        memory.connection = Some((connection, Instant::now()));
        Ok(())
    }
}
