//! One running function process, as its pool sees it, and the requests that it works on.

use std::time::SystemTime;

use axum::body::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::invoker::{FunctionError, InvokeError, Outcome};

/// An instance's id, which is part of the base path of its Runtime API.
pub(super) type InstanceId = Uuid;

/// What an instance's process is ordered to do. A later variant overrides an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Continue to run.
    Run,
    /// End: the process gets SIGTERM.
    Terminate,
    /// End: the process gets SIGKILL.
    Kill,
}

/// A process and its phase.
#[derive(Debug)]
pub(super) struct Instance {
    /// Its process id, once started.
    pub(super) pid: Option<u32>,
    /// Orders for the task that owns the process.
    pub(super) orders: watch::Sender<Order>,
    pub(super) phase: Phase,
    /// Whether it registered an extension, as runtimes do that handle SIGTERM.
    pub(super) handles_termination: bool,
    /// The error that it posted to `/init/error`.
    pub(super) init_error: Option<FunctionError>,
    /// How many checks in a row found that it should have requested an event and had not.
    pub(super) silent_looks: u32,
    /// The id of the request that it answered last.
    pub(super) last_request: Option<String>,
}

/// What an instance is doing. It is given a request only while it is `Idle`.
#[derive(Debug)]
pub(super) enum Phase {
    /// It has not requested an event yet.
    Starting,
    /// It has requested an event, and waits at the other end of the channel.
    Idle(oneshot::Sender<Assignment>),
    /// It works on a request.
    Running(Running),
    /// It has answered, and has not requested another event.
    Answered,
    /// It was ordered to end.
    Ending,
}

/// A request that was assigned to an instance.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) request: Request,
    /// Whether the instance received it. If the instance dies before, the request goes to another.
    pub(super) fetched: bool,
    /// Ends the instance when the function's timeout has passed.
    pub(super) watchdog: AbortHandle,
}

/// The answer to `/next`.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) request_id: String,
    /// The event.
    pub(super) payload: Bytes,
    /// The time at which the function's timeout passes.
    pub(super) deadline: SystemTime,
}

/// An invocation that has not been answered.
#[derive(Debug)]
pub(super) struct Request {
    /// The id that the function sees.
    pub(super) id: String,
    /// The event.
    pub(super) payload: Bytes,
    /// The number of the caller, if the callers have numbers.
    pub(super) caller: Option<usize>,
    /// The channel to the caller.
    pub(super) answer: oneshot::Sender<Result<Outcome, InvokeError>>,
}

/// A caller that waits for an instance.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A request, which will occupy the instance.
    Request(Request),
    /// A caller that only wants an instance to be ready.
    Warm(oneshot::Sender<Result<(), FunctionError>>),
}

impl Waiting {
    /// Whether the caller no longer waits.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Request(request) => request.answer.is_closed(),
            Self::Warm(answer) => answer.is_closed(),
        }
    }

    /// The number of the caller, if the callers have numbers.
    pub(super) fn caller(&self) -> Option<usize> {
        match self {
            Self::Request(request) => request.caller,
            Self::Warm(_) => None,
        }
    }

    /// The id to name in an error.
    pub(super) fn request_id(&self) -> String {
        match self {
            Self::Request(request) => request.id.clone(),
            Self::Warm(_) => Uuid::new_v4().to_string(),
        }
    }

    /// Reports to the caller that no instance started.
    pub(super) fn fail(self, error: FunctionError) {
        // A closed channel means that the caller no longer waits.
        match self {
            Self::Request(request) => drop(request.answer.send(Ok(Outcome::FunctionError(error)))),
            Self::Warm(answer) => drop(answer.send(Err(error))),
        }
    }
}

impl Instance {
    /// Orders the process to end. An order that was given before is never weakened.
    pub(super) fn order(&mut self, order: Order) {
        self.orders.send_if_modified(|given| {
            let harder = order > *given;
            *given = order.max(*given);
            harder
        });
    }
}
