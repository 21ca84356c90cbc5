//! Instances that should request their next event and do not: others take their place.
//!
//! Lambda freezes an instance between its answer and its next request, so a function has nothing to
//! do but request the next event. An instance that does not would occupy its place for ever. Time
//! is counted in checks of the instance, not read from a clock, because no instance could send a
//! request while the whole emulator was stopped or starved.

use std::time::Duration;

use super::State;
use crate::function_host::failure;
use crate::function_host::instance::{
    Assignment, Instance, InstanceId, Order, Phase, Running, Waiting,
};
use crate::function_host::liveness::{self, Life};

/// The interval between two checks of an instance.
pub(in crate::function_host::pool) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// From this many checks on, no waiting request counts on the instance.
const LATE: u32 = 2;

/// After this many checks the instance is ended: 10 s, which AWS's runtimes have for their start.
/// Requesting an event takes milliseconds.
const OVERDUE: u32 = 11;

/// The same limit for the first request after the start. AWS allows 10 s; a busy laptop gets more.
const START_OVERDUE: u32 = 16;

/// The result of a check.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::function_host::pool) enum Verdict {
    /// Nothing needs to be done.
    Fine,
    /// It takes long, so the callers that wait may need another instance.
    Late,
    /// It was ordered to end. Gives the reason and the last request that it worked on.
    Overdue {
        reason: &'static str,
        request_id: Option<String>,
        pid: Option<u32>,
    },
    /// There is no such instance.
    Gone,
}

impl Instance {
    /// Whether it is about to request an event.
    pub(super) fn is_coming(&self) -> bool {
        match self.phase {
            Phase::Starting => true,
            Phase::Answered => self.silent_looks < LATE,
            Phase::Idle(_) | Phase::Running(_) | Phase::Ending => false,
        }
    }

    /// Why it does no work and must not be given any, and after how many checks it is ended; `None`
    /// while it works or waits properly.
    fn silence(&mut self) -> Option<(&'static str, u32)> {
        if matches!(&self.phase, Phase::Idle(next) if next.is_closed()) {
            self.phase = Phase::Answered;
        }

        let stopped = self.pid.map(liveness::of) == Some(Life::Stopped);

        match self.phase {
            Phase::Starting => Some((
                "it was started and does not ask for a request",
                START_OVERDUE,
            )),
            Phase::Answered if stopped => {
                Some(("it is stopped by a signal after its answer", OVERDUE))
            }
            Phase::Answered => Some(("it answered and does not ask for another request", OVERDUE)),
            Phase::Idle(_) if stopped => {
                Some(("it is stopped by a signal while it waits", OVERDUE))
            }
            Phase::Ending => Some(("it did not exit when asked to", OVERDUE)),
            Phase::Idle(_) | Phase::Running(_) => None,
        }
    }
}

impl State {
    /// Checks an instance, once every [`LOOK_EVERY`], and orders it to end if it is overdue.
    pub(in crate::function_host::pool) fn look_at(&mut self, id: InstanceId) -> Verdict {
        let Some(instance) = self.instances.get_mut(&id) else {
            return Verdict::Gone;
        };

        let Some((reason, limit)) = instance.silence() else {
            instance.silent_looks = 0;
            return Verdict::Fine;
        };

        instance.silent_looks = instance.silent_looks.saturating_add(1);

        if instance.silent_looks < limit {
            return if instance.silent_looks == LATE {
                Verdict::Late
            } else {
                Verdict::Fine
            };
        }

        // The count starts again, so a process that cannot be killed is ordered to end and reported
        // again at the same pace.
        instance.silent_looks = 0;

        if matches!(instance.phase, Phase::Starting) {
            // The phase stays, because it marks the start as failed.
            let overdue = LOOK_EVERY.saturating_mul(START_OVERDUE - 1);
            instance.init_error = Some(failure::never_ready(&id.to_string(), overdue));
        } else {
            instance.phase = Phase::Ending;
        }

        instance.order(Order::Kill);

        let (request_id, pid) = (instance.last_request.clone(), instance.pid);
        self.idle.retain(|other| *other != id);

        Verdict::Overdue {
            reason,
            request_id,
            pid,
        }
    }

    /// The instance closed the connection while it waited for work.
    pub(in crate::function_host) fn hung_up(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };

        // It may have connected again in the meantime.
        if matches!(&instance.phase, Phase::Idle(next) if next.is_closed()) {
            instance.phase = Phase::Answered;
            self.idle.retain(|other| *other != id);
        }
    }

    /// The instance closed the connection before it received this work, so the work goes to
    /// another.
    pub(in crate::function_host) fn give_back(&mut self, id: InstanceId, work: &Assignment) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };

        match std::mem::replace(&mut instance.phase, Phase::Answered) {
            Phase::Running(Running {
                request, watchdog, ..
            }) if request.id == work.request_id => {
                watchdog.abort();
                self.waiting.push_front(Waiting::Request(request));
            }
            other => instance.phase = other,
        }
    }
}
