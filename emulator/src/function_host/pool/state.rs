//! The part of a pool that is behind its lock: who works on what.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::SystemTime;

use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::Ending;
use crate::function_host::instance::{
    Assignment, Instance, InstanceId, Order, Phase, Request, Running, Waiting,
};
use crate::function_host::liveness::Life;
use crate::function_host::{failure, liveness};
use crate::invoker::{FunctionError, InvokeError, Outcome};
use crate::template::FunctionDefinition;

mod silence;

pub(super) use silence::{LOOK_EVERY, Verdict};

/// One function's instances and requests.
#[derive(Debug, Default)]
pub(in crate::function_host) struct State {
    instances: BTreeMap<InstanceId, Instance>,
    /// Instances that wait for work, the most recently used last.
    idle: Vec<InstanceId>,
    /// The instance that served each caller last.
    homes: HashMap<usize, InstanceId>,
    /// Callers that wait for an instance, oldest first.
    pub(super) waiting: VecDeque<Waiting>,
    /// How many starts in a row failed.
    pub(super) failed_starts: u32,
    /// Whether new work is refused.
    pub(super) stopping: bool,
}

impl State {
    /// Gives waiting requests to idle instances. `watch_over` starts the timer of a request.
    pub(super) fn match_up(
        &mut self,
        function: &FunctionDefinition,
        watch_over: impl Fn(InstanceId, String) -> AbortHandle,
    ) {
        self.waiting.retain(|waiting| !waiting.is_abandoned());

        while let Some(first) = self.waiting.front()
            && let Some((id, next)) = self.take_idle(first.caller())
        {
            match self.waiting.pop_front() {
                Some(Waiting::Request(request)) => {
                    let watchdog = watch_over(id, request.id.clone());
                    self.hand_over(id, next, request, function, watchdog);
                }
                Some(Waiting::Warm(answer)) => {
                    // A closed channel means that the caller no longer waits.
                    let _ = answer.send(Ok(()));
                    self.set_phase(id, Phase::Idle(next));
                    self.idle.push(id);
                }
                None => {}
            }
        }
    }

    /// The instance that served the caller last, or else the most recently used one, that is alive
    /// and still connected.
    fn take_idle(
        &mut self,
        caller: Option<usize>,
    ) -> Option<(InstanceId, oneshot::Sender<Assignment>)> {
        let home = caller.and_then(|caller| self.homes.get(&caller));
        if let Some(place) = self.idle.iter().position(|id| Some(id) == home) {
            self.idle[place..].rotate_left(1);
        }

        let mut stopped = Vec::new();

        let taken = loop {
            let Some(id) = self.idle.pop() else {
                break None;
            };
            let Some(instance) = self.instances.get_mut(&id) else {
                continue;
            };

            // A process may request an event before its id has been noted here.
            let life = instance.pid.map_or(Life::Runs, liveness::of);

            match (
                std::mem::replace(&mut instance.phase, Phase::Answered),
                life,
            ) {
                (Phase::Idle(next), Life::Runs) if !next.is_closed() => break Some((id, next)),
                // It closed the connection, and may connect again.
                (Phase::Idle(_), Life::Runs) => {}
                // Another signal may resume it before it is overdue.
                (idle @ Phase::Idle(_), Life::Stopped) => {
                    instance.phase = idle;
                    stopped.push(id);
                }
                _ => instance.phase = Phase::Ending,
            }
        };

        self.idle.splice(0..0, stopped);
        taken
    }

    fn hand_over(
        &mut self,
        id: InstanceId,
        next: oneshot::Sender<Assignment>,
        request: Request,
        function: &FunctionDefinition,
        watchdog: AbortHandle,
    ) {
        let assignment = Assignment {
            request_id: request.id.clone(),
            payload: request.payload.clone(),
            deadline: SystemTime::now() + function.timeout,
        };

        if next.send(assignment).is_ok() {
            if let Some(caller) = request.caller {
                self.homes.insert(caller, id);
            }
            self.set_phase(
                id,
                Phase::Running(Running {
                    request,
                    fetched: false,
                    watchdog,
                }),
            );
        } else {
            watchdog.abort();
            self.waiting.push_front(Waiting::Request(request));
        }
    }

    /// How many instances to start for the callers that wait, besides those that are about to
    /// request an event.
    pub(super) fn missing(&self, limit: usize) -> usize {
        let coming = self
            .instances
            .values()
            .filter(|instance| instance.is_coming())
            .count();

        let room = limit.saturating_sub(self.instances.len());
        self.waiting.len().saturating_sub(coming).min(room)
    }

    /// Adds an instance that is not started yet, and returns the channel of the orders for its
    /// process.
    pub(super) fn add(&mut self) -> (InstanceId, watch::Receiver<Order>) {
        let id = Uuid::new_v4();
        let (orders, receiver) = watch::channel(Order::Run);

        let instance = Instance {
            pid: None,
            orders,
            phase: Phase::Starting,
            handles_termination: false,
            init_error: None,
            silent_looks: 0,
            last_request: None,
        };

        self.instances.insert(id, instance);
        (id, receiver)
    }

    /// Notes the process of an instance that was started.
    pub(super) fn started(&mut self, id: InstanceId, pid: Option<u32>) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.pid = pid;
        }
    }

    /// The instance requests an event. Its answer arrives through the channel.
    pub(super) fn park(&mut self, id: InstanceId) -> Option<oneshot::Receiver<Assignment>> {
        let instance = self.instances.get_mut(&id)?;
        let (next, work) = oneshot::channel();

        match instance.phase {
            Phase::Running(_) => return None,
            // It gets no more work and is about to end.
            Phase::Ending => return Some(work),
            Phase::Starting => self.failed_starts = 0,
            Phase::Idle(_) | Phase::Answered => {}
        }

        instance.phase = Phase::Idle(next);
        instance.silent_looks = 0;
        self.idle.retain(|other| *other != id);
        self.idle.push(id);

        Some(work)
    }

    /// The instance received its request.
    pub(in crate::function_host) fn fetched(&mut self, id: InstanceId) {
        if let Some(Instance {
            phase: Phase::Running(running),
            ..
        }) = self.instances.get_mut(&id)
        {
            running.fetched = true;
        }
    }

    /// The instance registered an extension, so it handles SIGTERM.
    pub(in crate::function_host) fn registered(&mut self, id: InstanceId) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.handles_termination = true;
        }
    }

    /// The instance reported why it cannot start.
    pub(in crate::function_host) fn init_failed(&mut self, id: InstanceId, error: FunctionError) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.init_error = Some(error);
        }
    }

    /// Takes the answer to a request. Returns false if the instance does not have that request.
    pub(super) fn answer(&mut self, id: InstanceId, request_id: &str, outcome: Outcome) -> bool {
        let Some(running) = self.take_running(id, request_id) else {
            return false;
        };

        // A closed channel means that the caller no longer waits.
        let _ = running.request.answer.send(Ok(outcome));

        if self.stopping {
            self.end(id, Order::Terminate);
        }

        true
    }

    /// Answers a request with `error` because its time is up, and kills the instance.
    pub(super) fn time_out(&mut self, id: InstanceId, request_id: &str, error: FunctionError) {
        if let Some(running) = self.take_running(id, request_id) {
            let _ = running
                .request
                .answer
                .send(Ok(Outcome::FunctionError(error)));
            self.end(id, Order::Kill);
        }
    }

    fn take_running(&mut self, id: InstanceId, request_id: &str) -> Option<Running> {
        let instance = self.instances.get_mut(&id)?;
        match std::mem::replace(&mut instance.phase, Phase::Answered) {
            Phase::Running(running) if running.request.id == request_id => {
                running.watchdog.abort();
                instance.last_request = Some(running.request.id.clone());
                Some(running)
            }
            other => {
                instance.phase = other;
                None
            }
        }
    }

    /// Removes a request that still waits. Returns false if an instance has it.
    pub(super) fn withdraw(&mut self, request_id: &str) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(
            |waiting| !matches!(waiting, Waiting::Request(request) if request.id == request_id),
        );

        self.waiting.len() < before
    }

    /// Removes an instance that has ended. The request that it worked on fails, or goes to another
    /// instance.
    pub(super) fn remove(&mut self, id: InstanceId, ending: &Ending) {
        self.idle.retain(|other| *other != id);
        self.homes.retain(|_, home| *home != id);
        let Some(instance) = self.instances.remove(&id) else {
            return;
        };

        match instance.phase {
            Phase::Starting if !matches!(ending, Ending::Cancelled) => {
                self.failed_starts = self.failed_starts.saturating_add(1);
                if let Some(first) = self.waiting.pop_front() {
                    let error = instance
                        .init_error
                        .unwrap_or_else(|| ending.error(&first.request_id()));
                    first.fail(error);
                }
            }
            Phase::Running(Running {
                request,
                fetched,
                watchdog,
            }) => {
                watchdog.abort();
                // A request that was received may have had effects, so it is not repeated here.
                if fetched || self.stopping {
                    let error = ending.error(&request.id);
                    Waiting::Request(request).fail(error);
                } else {
                    self.waiting.push_front(Waiting::Request(request));
                }
            }
            Phase::Starting | Phase::Idle(_) | Phase::Answered | Phase::Ending => {}
        }
    }

    /// Refuses new work, and orders every instance to end that has nothing to answer or handles
    /// SIGTERM.
    pub(super) fn stop(&mut self) {
        self.stopping = true;

        for waiting in std::mem::take(&mut self.waiting) {
            if let Waiting::Request(request) = waiting {
                let _ = request.answer.send(Err(InvokeError::Stopping));
            }
        }

        self.idle.clear();

        for instance in self.instances.values_mut() {
            if !matches!(instance.phase, Phase::Running(_)) {
                instance.phase = Phase::Ending;
                instance.order(Order::Terminate);
            } else if instance.handles_termination {
                instance.order(Order::Terminate);
            }
        }
    }

    /// Gives all instances the same order.
    pub(super) fn order_all(&mut self, order: Order) {
        for instance in self.instances.values_mut() {
            instance.order(order);
        }
    }

    /// The ids of the running processes.
    pub(super) fn process_ids(&self) -> Vec<u32> {
        self.instances
            .values()
            .filter_map(|instance| instance.pid)
            .collect()
    }

    /// How many instances wait for work.
    #[cfg(test)]
    pub(in crate::function_host) fn idle(&self) -> usize {
        self.idle.len()
    }

    fn end(&mut self, id: InstanceId, order: Order) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.phase = Phase::Ending;
            instance.order(order);
        }
    }

    fn set_phase(&mut self, id: InstanceId, phase: Phase) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.phase = phase;
        }
    }
}

impl Ending {
    fn error(&self, request_id: &str) -> FunctionError {
        match self {
            Self::NotStarted(reason) => failure::not_started(request_id, reason),
            Self::Exited(status) => failure::exited(request_id, *status),
            Self::Cancelled => {
                failure::failure("Runtime.ExitError", "the emulator is stopping".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests;
