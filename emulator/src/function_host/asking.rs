//! An instance's request for its next event, until it is answered or the instance closes the
//! connection.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::instance::{Assignment, InstanceId};
use super::pool::Pool;

/// A request for the next event. If it is dropped without an answer, the pool learns that the
/// instance closed the connection.
#[derive(Debug)]
pub(super) struct Asking {
    pool: Arc<Pool>,
    id: InstanceId,
    work: oneshot::Receiver<Assignment>,
    answered: bool,
}

impl Asking {
    /// The request of the instance `id`. Its answer arrives through `work`.
    pub(super) fn new(
        pool: Arc<Pool>,
        id: InstanceId,
        work: oneshot::Receiver<Assignment>,
    ) -> Self {
        Self {
            pool,
            id,
            work,
            answered: false,
        }
    }

    /// Waits for work. `None` means that this request will never be answered.
    pub(super) async fn answer(mut self) -> Option<Assignment> {
        let work = (&mut self.work).await.ok();

        self.answered = true;
        if work.is_some() {
            self.pool.state().fetched(self.id);
        }

        work
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.answered {
            return;
        }

        // Closed first: work that was sent after `try_recv` would be lost.
        self.work.close();
        self.pool.hung_up(self.id, self.work.try_recv().ok());
    }
}
