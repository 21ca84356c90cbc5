//! Cases that no real process can be made to show on demand. Every instance here has the id of this
//! process.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Assignment, Ending, InstanceId, Request, State, Verdict, Waiting};
use crate::function_host::instance::Order;
use crate::invoker::{InvokeError, Outcome};
use crate::template::FunctionDefinition;

type Answered = oneshot::Receiver<Result<Outcome, InvokeError>>;

fn function() -> FunctionDefinition {
    FunctionDefinition {
        name: "f".to_owned(),
        binary: "f".to_owned(),
        arn: "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
        timeout: Duration::from_secs(60),
        memory_mb: 128,
        reserved_concurrency: None,
        environment: BTreeMap::new(),
        async_retry_attempts: 0,
        async_max_age: Duration::from_secs(60),
    }
}

fn killed() -> Ending {
    Ending::Exited(ExitStatus::from_raw(9))
}

impl State {
    /// Adds an instance that waits for work.
    fn idle_instance(&mut self) -> (InstanceId, oneshot::Receiver<Assignment>) {
        let (id, _orders) = self.add();

        self.started(id, Some(std::process::id()));
        let work = self.park(id).expect("it may ask");

        (id, work)
    }

    fn request(&mut self, id: &str) -> Answered {
        self.request_of(None, id)
    }

    fn request_of(&mut self, caller: Option<usize>, id: &str) -> Answered {
        let (answer, answered) = oneshot::channel();
        self.waiting.push_back(Waiting::Request(Request {
            id: id.to_owned(),
            payload: Bytes::from_static(b"{}"),
            caller,
            answer,
        }));

        self.match_up(&function(), |_, _| {
            tokio::spawn(std::future::pending::<()>()).abort_handle()
        });

        answered
    }
}

#[tokio::test]
async fn the_most_recently_used_instance_is_taken_first() {
    let mut state = State::default();
    let (_, mut first) = state.idle_instance();
    let (_, mut second) = state.idle_instance();

    let _answered = state.request("r");
    assert_eq!(second.try_recv().unwrap().request_id, "r");
    assert_eq!(first.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[tokio::test]
async fn a_caller_gets_the_instance_that_served_it_last_if_that_is_idle() {
    let mut state = State::default();
    let (first, work_of_first) = state.idle_instance();
    let _answered = state.request_of(Some(7), "r1");
    assert_eq!(work_of_first.await.unwrap().request_id, "r1");

    // While its own instance works, the caller gets another one, which is its own from then on.
    let (second, work_of_second) = state.idle_instance();
    let _answered = state.request_of(Some(7), "r2");
    assert_eq!(work_of_second.await.unwrap().request_id, "r2");

    for (id, request) in [(second, "r2"), (first, "r1")] {
        assert!(state.answer(id, request, Outcome::Success(Bytes::new())));
    }
    let mut work_of_second = state.park(second).expect("it may ask");
    let mut work_of_first = state.park(first).expect("it may ask");

    let _answered = state.request_of(Some(7), "r3");
    assert_eq!(work_of_second.try_recv().unwrap().request_id, "r3");

    // Once that instance has ended, any other will do.
    state.fetched(second);
    state.remove(second, &killed());
    let _answered = state.request_of(Some(7), "r4");
    assert_eq!(work_of_first.try_recv().unwrap().request_id, "r4");
}

#[tokio::test]
async fn an_instance_that_asks_before_its_process_id_is_noted_gets_the_request() {
    let mut state = State::default();

    let (id, _orders) = state.add();
    let mut work = state.park(id).expect("it may ask");

    let _answered = state.request("r");
    assert_eq!(work.try_recv().unwrap().request_id, "r");
    assert_eq!(state.missing(1), 0);
}

#[tokio::test]
async fn a_request_whose_instance_died_before_taking_it_goes_to_another() {
    let mut state = State::default();

    let (id, _work) = state.idle_instance();
    let mut answered = state.request("r");

    state.remove(id, &killed());
    assert_eq!(answered.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(state.missing(1), 1);

    let (_, mut work) = state.idle_instance();
    let _other = state.request("later");
    assert_eq!(work.try_recv().unwrap().request_id, "r");
}

#[tokio::test]
async fn a_request_whose_instance_died_after_taking_it_fails_since_it_may_have_done_its_work() {
    let mut state = State::default();

    let (id, _work) = state.idle_instance();
    let mut answered = state.request("r");

    state.fetched(id);
    state.remove(id, &killed());
    let Ok(Ok(Outcome::FunctionError(error))) = answered.try_recv() else {
        panic!("no function error")
    };

    assert_eq!(
        error.message,
        "RequestId: r Error: Runtime exited with error: signal: killed"
    );
}

#[tokio::test]
async fn an_instance_that_hung_up_gets_no_request() {
    let mut state = State::default();

    let (_, mut first) = state.idle_instance();
    let (_, second) = state.idle_instance();
    drop(second);

    let _answered = state.request("r");
    assert_eq!(first.try_recv().unwrap().request_id, "r");
}

#[tokio::test]
async fn an_answer_to_another_request_is_refused() {
    let mut state = State::default();

    let (id, _work) = state.idle_instance();
    let mut answered = state.request("r");

    assert!(!state.answer(id, "other", Outcome::Success(Bytes::new())));
    assert!(state.answer(id, "r", Outcome::Success(Bytes::new())));
    assert!(!state.answer(id, "r", Outcome::Success(Bytes::new())));
    assert_eq!(answered.try_recv(), Ok(Ok(Outcome::Success(Bytes::new()))));
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_starts_nothing() {
    let mut state = State::default();

    drop(state.request("gone"));
    let _answered = state.request("r");

    assert_eq!(state.missing(64), 1);
}

#[tokio::test]
async fn an_instance_about_to_ask_again_saves_a_start() {
    let mut state = State::default();

    let (id, _work) = state.idle_instance();
    let _first = state.request("1");

    state.answer(id, "1", Outcome::Success(Bytes::new()));

    let _second = state.request("2");
    assert_eq!(state.missing(64), 0);

    let _third = state.request("3");
    assert_eq!(state.missing(64), 1);
}

/// Checks the instance until the verdict is no longer `Fine`. Returns the number of checks with the
/// verdict.
fn looks(state: &mut State, id: InstanceId) -> (u32, Verdict) {
    for look in 1..100 {
        match state.look_at(id) {
            Verdict::Fine => {}
            verdict => return (look, verdict),
        }
    }

    panic!("nothing to see in a hundred looks")
}

#[tokio::test]
async fn an_instance_that_does_not_ask_again_is_counted_on_no_more_and_then_ended() {
    let mut state = State::default();

    let (id, orders) = state.add();
    state.started(id, Some(std::process::id()));
    let _work = state.park(id).expect("it may ask");

    let _first = state.request("1");
    state.answer(id, "1", Outcome::Success(Bytes::new()));
    let mut second = state.request("2");
    assert_eq!(state.missing(64), 0);

    assert_eq!(looks(&mut state, id), (2, Verdict::Late));
    assert_eq!((state.missing(64), *orders.borrow()), (1, Order::Run));

    let (further, verdict) = looks(&mut state, id);
    let Verdict::Overdue { request_id, .. } = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(
        (further, request_id.as_deref(), *orders.borrow()),
        (9, Some("1"), Order::Kill)
    );

    // It asks after all, too late.
    let mut work = state.park(id).expect("it is there");
    state.match_up(&function(), |_, _| unreachable!("it gets no request"));
    assert!(work.try_recv().is_err());

    state.remove(id, &killed());
    assert_eq!(
        (state.missing(1), second.try_recv()),
        (1, Err(TryRecvError::Empty))
    );
}

#[tokio::test]
async fn an_instance_that_works_or_waits_or_asks_in_time_is_not_ended() {
    let mut state = State::default();
    let (id, orders) = state.add();

    for number in 0..20_u32 {
        let work = state.park(id).expect("it may ask");

        let waits = (0..20).all(|_| state.look_at(id) == Verdict::Fine);
        let _answered = state.request(&number.to_string());

        let works = (0..20).all(|_| state.look_at(id) == Verdict::Fine);
        assert!(waits && works);
        assert!(state.answer(id, &number.to_string(), Outcome::Success(Bytes::new())));

        drop(work);
        assert!((0..10).all(|_| !matches!(state.look_at(id), Verdict::Overdue { .. })));
    }

    assert_eq!(*orders.borrow(), Order::Run);
}

#[tokio::test]
async fn a_request_whose_instance_hung_up_before_it_took_it_goes_to_another_once() {
    let mut state = State::default();

    let (id, mut work) = state.idle_instance();
    let mut answered = state.request("r");
    let assignment = work.try_recv().unwrap();

    state.give_back(id, &assignment);
    state.give_back(id, &assignment);
    assert!(!state.answer(id, "r", Outcome::Success(Bytes::new())));

    let (_, mut other) = state.idle_instance();
    let _later = state.request("later");

    assert_eq!(other.try_recv().unwrap().request_id, "r");
    assert_eq!(answered.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(state.waiting.len(), 1);
}

#[tokio::test]
async fn an_instance_that_hangs_up_and_has_asked_again_goes_on_waiting() {
    let mut state = State::default();

    let (id, first) = state.idle_instance();
    let mut second = state.park(id).expect("it may ask again");

    drop(first);

    state.hung_up(id);

    let _answered = state.request("r");
    assert_eq!(second.try_recv().unwrap().request_id, "r");
}
