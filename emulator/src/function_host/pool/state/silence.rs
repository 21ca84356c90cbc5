//! Instances that should ask for work and do not: others take their place.
//!
//! Lambda freezes an instance between its answer and its next request, so a function has nothing to do but to ask. One
//! that does not would hold its place for ever. Time is counted in looks at the instance, not read from a clock: while
//! the whole emulator was stopped or starved, nobody could ask.

use std::time::Duration;

use super::State;
use crate::function_host::failure;
use crate::function_host::instance::{
    Assignment, Instance, InstanceId, Order, Phase, Running, Waiting,
};
use crate::function_host::liveness::{self, Life};

/// How often to look at each instance.
pub(in crate::function_host::pool) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// From this many looks on, nobody counts on the instance any more.
const LATE: u32 = 2;

/// After this many looks the instance is ended: 10 s, as AWS's runtimes have for their start. It takes milliseconds.
const OVERDUE: u32 = 11;

/// How long an instance may take until it asks for work the first time, in looks. AWS gives 10 s; a busy laptop gets more.
const START_OVERDUE: u32 = 16;

/// What a look at an instance says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::function_host::pool) enum Verdict {
    /// Nothing is to do.
    Fine,
    /// It takes long, so those who wait may need another.
    Late,
    /// It was told to end, for this reason, having worked on this request last.
    Overdue {
        reason: &'static str,
        request_id: Option<String>,
        pid: Option<u32>,
    },
    /// There is no such instance.
    Gone,
}

impl Instance {
    /// Whether it is about to ask for work.
    pub(super) fn is_coming(&self) -> bool {
        match self.phase {
            Phase::Starting => true,
            Phase::Answered => self.silent_looks < LATE,
            Phase::Idle(_) | Phase::Running(_) | Phase::Ending => false,
        }
    }

    /// Why it is not at work and not to be given any, if so, and how many looks that may last.
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
            Phase::Ending => Some(("it was told to end and does not", OVERDUE)),
            Phase::Idle(_) | Phase::Running(_) => None,
        }
    }
}

impl State {
    /// Looks at an instance, which is to happen every [`LOOK_EVERY`], and orders it to end when its time is up.
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
        // Counted on: a process that cannot even be killed is told again, and told of, at the same pace.
        instance.silent_looks = 0;
        if matches!(instance.phase, Phase::Starting) {
            // The phase stays: it is how the start shows to have come to nothing.
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

    /// The instance hung up while it waited for work.
    pub(in crate::function_host) fn hung_up(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        // It may have asked again meanwhile.
        if matches!(&instance.phase, Phase::Idle(next) if next.is_closed()) {
            instance.phase = Phase::Answered;
            self.idle.retain(|other| *other != id);
        }
    }

    /// The instance hung up before it took this work, so another may have it.
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
