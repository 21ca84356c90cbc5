//! The instances of one function and the requests that wait for them.
//!
//! All decisions about who works on what are made under one lock, which is never held across an
//! await. Processes and timers run in tasks of their own and report here.

use std::convert::Infallible;
use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::failure;
use super::instance::{Assignment, InstanceId, Order, Request, Waiting};
use super::log_lines;
use super::process::Launcher;
use crate::invoker::{FunctionError, InvokeError, Outcome};
use crate::template::FunctionDefinition;

mod state;

use state::{LOOK_EVERY, State, Verdict};

/// The most requests that wait for an instance of one function.
const MAX_WAITING: usize = 1_000;

/// How long a request waits for an instance before it is throttled.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// The first pause after an instance that never became ready. It doubles with each one, up to the
/// longest.
const FIRST_START_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_START_PAUSE: Duration = Duration::from_secs(5);

/// One function's instances.
#[derive(Debug)]
pub(super) struct Pool {
    function: FunctionDefinition,
    limit: usize,
    log_prefix: String,
    launcher: Arc<Launcher>,
    tasks: TaskTracker,
    state: Mutex<State>,
}

/// How an instance ended.
pub(super) enum Ending {
    /// Its process could not be started.
    NotStarted(io::Error),
    /// Its process ended.
    Exited(ExitStatus),
    /// It was ordered to end before it was started.
    Cancelled,
}

impl Pool {
    /// A pool without instances, which will have at most `limit` at a time.
    pub(super) fn new(
        function: FunctionDefinition,
        index: usize,
        limit: u32,
        launcher: Arc<Launcher>,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        let log_prefix = log_lines::prefix(&function.binary, index);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);

        Arc::new(Self {
            function,
            limit,
            log_prefix,
            launcher,
            tasks,
            state: Mutex::default(),
        })
    }

    /// The function whose instances these are.
    pub(super) fn function(&self) -> &FunctionDefinition {
        &self.function
    }

    /// The instances' state. The lock is never held across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the function once, for `caller` if possible on the instance that served it last.
    pub(super) async fn invoke(
        self: &Arc<Self>,
        payload: Bytes,
        caller: Option<usize>,
    ) -> Result<Outcome, InvokeError> {
        let (answer, mut answered) = oneshot::channel();
        let id = Uuid::new_v4().to_string();
        self.enqueue(Waiting::Request(Request {
            id: id.clone(),
            payload,
            caller,
            answer,
        }))?;

        match timeout(MAX_WAIT, &mut answered).await {
            Ok(answer) => return answer.unwrap_or(Err(InvokeError::Stopping)),
            Err(_elapsed) if self.state().withdraw(&id) => return Err(self.throttled()),
            Err(_elapsed) => {}
        }

        // An instance took it in the meantime. Its answer, or that of the watchdog, comes within
        // the function's timeout.
        answered.await.unwrap_or(Err(InvokeError::Stopping))
    }

    /// Waits until an instance is ready, starting one if there is none.
    pub(super) async fn warm(self: &Arc<Self>) -> anyhow::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Waiting::Warm(answer))?;

        answered
            .await
            .map_err(|_| InvokeError::Stopping)?
            .map_err(anyhow::Error::new)
    }

    fn enqueue(self: &Arc<Self>, waiting: Waiting) -> Result<(), InvokeError> {
        let mut state = self.state();
        if state.stopping {
            return Err(InvokeError::Stopping);
        }
        if self.limit == 0 || state.waiting.len() >= MAX_WAITING {
            return Err(self.throttled());
        }

        state.waiting.push_back(waiting);
        self.dispatch(&mut state);
        Ok(())
    }

    fn throttled(&self) -> InvokeError {
        InvokeError::Throttled(self.function.name.clone())
    }

    /// Gives waiting requests to idle instances, and starts as many new ones as the remaining
    /// requests need and the limit allows.
    pub(super) fn dispatch(self: &Arc<Self>, state: &mut State) {
        state.match_up(&self.function, |id, request_id| {
            self.watch_over(id, request_id)
        });

        for _ in 0..state.missing(self.limit) {
            let pause = match state.failed_starts {
                0 => Duration::ZERO,
                failed => {
                    let doubled = FIRST_START_PAUSE.saturating_mul(1 << (failed - 1).min(10));
                    doubled.min(LONGEST_START_PAUSE)
                }
            };

            let (id, orders) = state.add();
            self.tasks
                .spawn(Arc::clone(self).run_instance(id, orders, pause));
        }
    }

    /// Starts the timer that ends an invocation at the function's timeout.
    fn watch_over(
        self: &Arc<Self>,
        id: InstanceId,
        request_id: String,
    ) -> tokio::task::AbortHandle {
        let pool = Arc::clone(self);
        let timer = async move {
            sleep(pool.function.timeout).await;
            let error = failure::timed_out(&request_id, pool.function.timeout);
            pool.state().time_out(id, &request_id, error);
        };

        tokio::spawn(timer).abort_handle()
    }

    /// Runs one instance from its start to its end.
    async fn run_instance(
        self: Arc<Self>,
        id: InstanceId,
        mut orders: watch::Receiver<Order>,
        pause: Duration,
    ) {
        let ordered_to_end = orders.wait_for(|order| *order > Order::Run);
        let cancelled = timeout(pause, ordered_to_end).await.is_ok();

        let ending = if cancelled {
            Ending::Cancelled
        } else {
            self.run_process(id, &mut orders).await
        };

        let mut state = self.state();
        state.remove(id, &ending);
        self.dispatch(&mut state);
    }

    async fn run_process(
        self: &Arc<Self>,
        id: InstanceId,
        orders: &mut watch::Receiver<Order>,
    ) -> Ending {
        let mut process = match self.launcher.start(&self.function, id, &self.log_prefix) {
            Ok(process) => process,
            Err(error) => return Ending::NotStarted(error),
        };

        self.state().started(id, process.pid());

        let ended = tokio::select! {
            ended = process.ended(orders) => ended,
            never = self.look_after(id) => match never {},
        };

        ended.map_or_else(Ending::NotStarted, Ending::Exited)
    }

    /// Ends the instance if it does not request its next event. Before that, lets other instances
    /// take its place.
    async fn look_after(self: &Arc<Self>, id: InstanceId) -> Infallible {
        loop {
            sleep(LOOK_EVERY).await;

            let mut state = self.state();

            match state.look_at(id) {
                Verdict::Fine | Verdict::Gone => {}
                Verdict::Late => self.dispatch(&mut state),
                Verdict::Overdue {
                    reason,
                    request_id,
                    pid,
                } => {
                    let function = &self.function.name;
                    tracing::warn!(
                        function,
                        pid,
                        request_id,
                        reason,
                        "ended a process of function {function}; another one starts when it is needed"
                    );
                }
            }
        }
    }

    /// Accepts no new work, and ends every instance as soon as it has nothing to answer.
    pub(super) fn stop(&self) {
        self.state().stop();
    }

    /// Kills every instance.
    pub(super) fn kill_all(&self) {
        self.state().order_all(Order::Kill);
    }

    /// The ids of the running processes.
    pub(super) fn process_ids(&self) -> Vec<u32> {
        self.state().process_ids()
    }

    /// Registers an instance's request for its next event, and returns the channel of the answer;
    /// `None` if the instance may not send such a request now.
    pub(super) fn ask_for_work(
        self: &Arc<Self>,
        id: InstanceId,
    ) -> Option<oneshot::Receiver<Assignment>> {
        let mut state = self.state();
        let work = state.park(id)?;
        self.dispatch(&mut state);

        Some(work)
    }

    /// The instance closed the connection of its request for the next event. Work that was just
    /// about to be sent goes to another instance.
    pub(super) fn hung_up(self: &Arc<Self>, id: InstanceId, work: Option<Assignment>) {
        let mut state = self.state();
        match work {
            Some(work) => state.give_back(id, &work),
            None => state.hung_up(id),
        }

        self.dispatch(&mut state);
    }

    /// Takes the instance's answer to a request. Returns false if the instance has no such request.
    pub(super) fn answer(
        &self,
        id: InstanceId,
        request_id: &str,
        outcome: Result<Bytes, FunctionError>,
    ) -> bool {
        let outcome = outcome.map_or_else(Outcome::FunctionError, Outcome::Success);
        self.state().answer(id, request_id, outcome)
    }
}
