//! An instance's question for work, from when it is asked until it is answered or the instance hangs up.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::instance::{Assignment, InstanceId};
use super::pool::Pool;

/// A question for work. Dropped without an answer, it tells the pool that the instance hung up.
#[derive(Debug)]
pub(super) struct Asking {
    pool: Arc<Pool>,
    id: InstanceId,
    work: oneshot::Receiver<Assignment>,
    answered: bool,
}

impl Asking {
    /// The question of the instance `id`, whose answer comes by `work`.
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

    /// Waits for work; nothing if the instance gets none by this question any more.
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
        // Closed first, so that nothing comes after the look.
        self.work.close();
        self.pool.hung_up(self.id, self.work.try_recv().ok());
    }
}
