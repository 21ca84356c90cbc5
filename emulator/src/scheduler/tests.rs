//! The scheduler with a clock that tests move and a function that they control.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use chrono::TimeDelta;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::clock::Timestamp;
use super::*;
use crate::invoker::{FunctionError, InvokeError, Outcome};

mod api;
mod client;
mod completion;
mod firing;
mod groups;
mod restart;
mod storage;

/// Longest wait for anything that a test expects.
const DEADLINE: Duration = Duration::from_secs(20);

/// Passes the scheduled time to the function.
const INPUT: &str = r#"{"at":"<aws.scheduler.scheduled-time>"}"#;

/// A clock that moves only when a test advances it.
#[derive(Debug)]
struct TestClock(watch::Sender<Timestamp>);

impl TestClock {
    fn at(time: &str) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(time.parse().unwrap())))
    }

    fn advance(&self, by: TimeDelta) {
        self.0.send_modify(|now| *now += by);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep_until(&self, moment: Timestamp) -> BoxFuture<'_, ()> {
        let mut now = self.0.subscribe();
        Box::pin(async move { drop(now.wait_for(|now| *now >= moment).await) })
    }
}

type Answer = Result<Outcome, InvokeError>;

fn success() -> Answer {
    Ok(Outcome::Success(Bytes::new()))
}

fn function_error() -> Answer {
    let (error_type, message) = ("Unhandled".to_owned(), "as told".to_owned());
    Ok(Outcome::FunctionError(FunctionError {
        error_type,
        message,
        payload: Bytes::from_static(b"{}"),
    }))
}

/// Returns the given answers in turn, then success. Each call returns once the gate has a permit.
#[derive(Debug)]
struct FakeInvoker {
    calls: watch::Sender<Vec<(String, Value)>>,
    answers: Mutex<VecDeque<Answer>>,
    gate: Semaphore,
}

impl FakeInvoker {
    fn with(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        let gate = Semaphore::new(Semaphore::MAX_PERMITS / 2);
        Arc::new(Self {
            calls: watch::Sender::default(),
            answers: Mutex::new(answers.into_iter().collect()),
            gate,
        })
    }

    /// A function whose calls wait until permits are added to the gate.
    fn closed(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        let fake = Self::with(answers);
        fake.gate.forget_permits(Semaphore::MAX_PERMITS);
        fake
    }

    /// Returns the calls so far, once there are `count`.
    async fn calls(&self, count: usize) -> Vec<(String, Value)> {
        let mut calls = self.calls.subscribe();
        let reached = calls.wait_for(|calls| calls.len() >= count);

        tokio::time::timeout(DEADLINE, reached)
            .await
            .expect("the function was not called")
            .unwrap()
            .clone()
    }
}

impl Invoker for FakeInvoker {
    fn invoke<'a>(&'a self, function: &'a str, payload: Bytes) -> BoxFuture<'a, Answer> {
        let call = (
            function.to_owned(),
            serde_json::from_slice(&payload).unwrap(),
        );
        Box::pin(async move {
            self.calls.send_modify(|calls| calls.push(call));
            self.gate.acquire().await.unwrap().forget();
            let told = self.answers.lock().unwrap().pop_front();
            told.unwrap_or_else(success)
        })
    }
}

/// A running scheduler, over a directory that outlives it.
struct Running {
    scheduler: Arc<Scheduler>,
    clock: Arc<TestClock>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(directory: &Path, clock: &Arc<TestClock>, invoker: &Arc<FakeInvoker>) -> Self {
        let settings = SchedulerSettings {
            groups: vec!["polling".to_owned()],
            retries: BTreeMap::from([(
                "short-lived".to_owned(),
                Retries {
                    attempts: 2,
                    max_age: Duration::from_secs(90),
                },
            )]),
            ..SchedulerSettings::new(directory.join("schedules"))
        };

        let (invoker, clock) = (Arc::clone(invoker), Arc::clone(clock));
        let scheduler =
            Scheduler::open_with_clock(settings, invoker, Arc::<TestClock>::clone(&clock)).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(&scheduler).run(stop.clone()));

        Self {
            scheduler,
            clock,
            stop,
            task,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.ended().await;
    }

    async fn ended(self) {
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("the scheduler did not stop")
            .unwrap();
    }

    /// Creates a schedule that starts now and passes its scheduled time to the poller.
    async fn create(&self, name: &str, expression: &str) {
        self.create_starting(self.clock.now(), name, expression)
            .await;
    }

    async fn create_starting(&self, start: Timestamp, name: &str, expression: &str) {
        self.create_for("poller", start, name, (expression, INPUT))
            .await;
    }

    async fn create_for(
        &self,
        function: &str,
        start: Timestamp,
        name: &str,
        (expression, input): (&str, &str),
    ) {
        let definition = definition(&json!({
            "ScheduleExpression": expression,
            "StartDate": start.timestamp(),
            "Target": {
                "Arn": format!("arn:aws:lambda:us-east-1:000000000000:function:{function}"),
                "RoleArn": "arn:aws:iam::000000000000:role/scheduler",
                "Input": input,
            },
        }));

        self.scheduler
            .create(key(name), definition, None)
            .await
            .unwrap();
    }

    /// Waits until the newest answered firing of a schedule is stored.
    async fn answered(&self, name: &str, time: &str) {
        let expected = Some(time.parse().unwrap());
        let stored = async {
            while self.scheduler.get(&key(name)).unwrap().answered != expected {
                tokio::task::yield_now().await;
            }
        };

        tokio::time::timeout(DEADLINE, stored)
            .await
            .expect("the answer was not noted");
    }
}

/// A definition with these members. By default, its target is the poller, which gets the scheduled
/// time.
fn definition(members: &Value) -> Definition {
    let mut definition = json!({
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": {
            "Arn": "arn:aws:lambda:us-east-1:000000000000:function:poller",
            "RoleArn": "arn:aws:iam::000000000000:role/scheduler",
            "Input": INPUT,
        },
    });

    for (name, member) in members.as_object().unwrap() {
        definition[name] = member.clone();
    }
    serde_json::from_value(definition).unwrap()
}

fn key(name: &str) -> Key {
    Key {
        group: "polling".to_owned(),
        name: name.to_owned(),
    }
}

/// Returns the scheduled times in the payloads of the calls.
fn times(calls: &[(String, Value)]) -> Vec<&str> {
    calls
        .iter()
        .map(|(_, payload)| payload["at"].as_str().unwrap())
        .collect()
}
