//! One running function process as its pool sees it, and the requests that go to it.

use std::time::SystemTime;

use axum::body::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::invoker::{FunctionError, InvokeError, Outcome};

/// An instance's name within its pool; part of the base path under which it asks for work.
pub(super) type InstanceId = Uuid;

/// What an instance's process is told to do, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Go on.
    Run,
    /// End, by SIGTERM.
    Terminate,
    /// End, by SIGKILL.
    Kill,
}

/// A process and what it is doing.
#[derive(Debug)]
pub(super) struct Instance {
    /// Its process id, once started.
    pub(super) pid: Option<u32>,
    /// How the task that owns the process is told to end it.
    pub(super) orders: watch::Sender<Order>,
    /// What it is doing.
    pub(super) phase: Phase,
    /// Whether it registered an extension, by which runtimes say that they handle SIGTERM.
    pub(super) handles_termination: bool,
    /// What it reported to `/init/error`.
    pub(super) init_error: Option<FunctionError>,
    /// How many looks in a row found that it should ask for work and does not.
    pub(super) silent_looks: u32,
    /// The request that it had last.
    pub(super) last_request: Option<String>,
}

/// What an instance is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// It has not asked for work yet.
    Starting,
    /// It asks for work and waits at the other end of the channel.
    Idle(oneshot::Sender<Assignment>),
    /// It works on a request.
    Running(Running),
    /// It answered and has not asked for work again.
    Answered,
    /// It was told to end.
    Ending,
}

/// A request in an instance's hands.
#[derive(Debug)]
pub(super) struct Running {
    /// The request.
    pub(super) request: Request,
    /// Whether the instance took it. One that died before did not touch it, so another instance may have it.
    pub(super) fetched: bool,
    /// Ends the instance when its time is up.
    pub(super) watchdog: AbortHandle,
}

/// What `/next` answers.
#[derive(Debug)]
pub(super) struct Assignment {
    /// The request's id.
    pub(super) request_id: String,
    /// Its payload.
    pub(super) payload: Bytes,
    /// When its time is up.
    pub(super) deadline: SystemTime,
}

/// An invocation that has not been answered.
#[derive(Debug)]
pub(super) struct Request {
    /// Its id, as the function sees it.
    pub(super) id: String,
    /// Its payload.
    pub(super) payload: Bytes,
    /// Where its answer goes.
    pub(super) answer: oneshot::Sender<Result<Outcome, InvokeError>>,
}

/// Who waits for an instance.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A request, which will occupy it.
    Request(Request),
    /// Somebody who only wants one to be ready.
    Warm(oneshot::Sender<Result<(), FunctionError>>),
}

impl Waiting {
    /// Whether nobody waits any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Request(request) => request.answer.is_closed(),
            Self::Warm(answer) => answer.is_closed(),
        }
    }

    /// The id to name in an error.
    pub(super) fn request_id(&self) -> String {
        match self {
            Self::Request(request) => request.id.clone(),
            Self::Warm(_) => Uuid::new_v4().to_string(),
        }
    }

    /// Tells whoever waits that no instance came up.
    pub(super) fn fail(self, error: FunctionError) {
        // A closed channel means that nobody waits any more.
        match self {
            Self::Request(request) => drop(request.answer.send(Ok(Outcome::FunctionError(error)))),
            Self::Warm(answer) => drop(answer.send(Err(error))),
        }
    }
}

impl Instance {
    /// Tells the process to end; a harder order already given stays.
    pub(super) fn order(&mut self, order: Order) {
        self.orders.send_if_modified(|given| {
            let harder = order > *given;
            *given = order.max(*given);
            harder
        });
    }
}
