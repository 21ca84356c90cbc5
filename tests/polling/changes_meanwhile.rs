//! Schedules are reconciled while requests change their jobs; `EventBridge` is a stub.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use e2e::postgres::database;
use serde_json::{Value, json};
use shared::repository::polling_jobs::{self, Change, JobLimits, PollingJob};
use sqlx::PgPool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use upkeep::reconciliation::{Mended, reconcile};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::event_bridge::*;
use crate::world::{at, committed, new_job};

/// Longest that the stub keeps a request waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers a request once the test allows it.
struct Barrier {
    arrived: UnboundedSender<()>,
    allowed: Mutex<mpsc::Receiver<()>>,
    answer: ResponseTemplate,
}

/// The test's side of a barrier.
struct Waiting {
    arrived: UnboundedReceiver<()>,
    allow: mpsc::Sender<()>,
}

impl Respond for Barrier {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let _ = self.arrived.send(());
        // The stub has a thread of its own.
        let allowed = self.allowed.lock().expect("no panic");
        let _ = allowed.recv_timeout(PATIENCE);
        self.answer.clone()
    }
}

/// Keeps the next request by this method for the job's schedule waiting.
async fn barrier(
    server: &MockServer,
    verb: &str,
    job: &PollingJob,
    answer: ResponseTemplate,
) -> Waiting {
    let (arrived, arrivals) = unbounded_channel();
    let (allow, allowed) = mpsc::channel();
    let barrier = Barrier {
        arrived,
        allowed: Mutex::new(allowed),
        answer,
    };

    Mock::given(method(verb))
        .and(path(format!("/schedules/{}", job.job_id)))
        .respond_with(barrier)
        .up_to_n_times(1)
        .with_priority(1)
        .mount(server)
        .await;
    Waiting {
        arrived: arrivals,
        allow,
    }
}

/// Gives the job another interval while the request waits.
async fn change_during(mut waiting: Waiting, pool: &PgPool, job: &PollingJob) {
    waiting.arrived.recv().await.expect("a request");

    let change = Change {
        interval_seconds: Some(60),
        ..Change::default()
    };
    let none = JobLimits::NONE;
    committed(polling_jobs::change(pool, job.job_id, &change, &none, 200, at(1_000)).await).await;
    waiting.allow.send(()).expect("a request");
}

fn shown(schedule: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(schedule)
}

fn done() -> ResponseTemplate {
    shown(&json!({"ScheduleArn": "arn"}))
}

/// The schedule that the changed job has.
async fn made_for_the_changed(job: &PollingJob) -> Value {
    let changed = PollingJob {
        interval_seconds: 60,
        start_at: at(1_001),
        ..job.clone()
    };
    made_for(&changed).await
}

#[tokio::test]
async fn a_schedule_that_follows_a_change_made_meanwhile_is_left_alone() -> anyhow::Result<()> {
    let pool = database().await?;
    let job = polling_jobs::insert(&pool, &new_job(3_600), 50).await?;

    // The request has changed the job and its schedule by the time at which that is shown.
    let changed = shown(&made_for_the_changed(&job).await);
    let server = event_bridge(&[job.job_id.to_string()]).await;
    let waiting = barrier(&server, "GET", &job, changed.clone()).await;
    show(&server, &job, changed).await;

    let schedules = schedules(&server);
    let (mended, ()) = tokio::join!(
        reconcile(&pool, &schedules, || at(1_010)),
        change_during(waiting, &pool, &job)
    );
    assert_eq!(mended?, Mended::default());
    assert!(changes(&server).await.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_repair_that_overwrites_the_schedule_of_a_change_is_followed_by_another()
-> anyhow::Result<()> {
    let pool = database().await?;
    let job = polling_jobs::insert(&pool, &new_job(3_600), 50).await?;

    let mut disabled = made_for(&job).await;
    disabled["State"] = json!("DISABLED");
    let server = event_bridge_showing(&job, disabled).await;
    let waiting = barrier(&server, "PUT", &job, done()).await;

    let schedules = schedules(&server);
    let (mended, ()) = tokio::join!(
        reconcile(&pool, &schedules, || at(1_010)),
        change_during(waiting, &pool, &job)
    );
    assert_eq!(
        mended?,
        Mended {
            repaired: 1,
            ..Mended::default()
        }
    );

    let starts: Vec<Value> = changes(&server)
        .await
        .into_iter()
        .map(|put| put.2)
        .collect();
    let (old, new) = (at(3_600).timestamp(), at(1_061).timestamp());
    assert_eq!(starts, [json!(old), json!(new)]);

    let requests = server.received_requests().await.expect("requests");
    let last: Value = requests.last().expect("a request").body_json()?;
    assert_eq!(last["ScheduleExpression"], "rate(1 minute)");
    Ok(())
}

#[tokio::test]
async fn a_missing_schedule_that_is_created_for_a_job_changed_meanwhile_follows_it()
-> anyhow::Result<()> {
    let pool = database().await?;
    let job = polling_jobs::insert(&pool, &new_job(3_600), 50).await?;

    let server = event_bridge(&[]).await;
    show(&server, &job, shown(&made_for(&job).await)).await;
    let waiting = barrier(&server, "POST", &job, done()).await;

    let schedules = schedules(&server);
    let (mended, ()) = tokio::join!(
        reconcile(&pool, &schedules, || at(1_010)),
        change_during(waiting, &pool, &job)
    );
    assert_eq!(mended?.created, 1);

    let changes: Vec<_> = changes(&server)
        .await
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(changes, ["POST", "PUT"]);
    Ok(())
}

#[tokio::test]
async fn a_repair_keeps_the_operator_s_description_and_queue() -> anyhow::Result<()> {
    let pool = database().await?;
    let job = polling_jobs::insert(&pool, &new_job(60), 50).await?;

    let queue = json!({"Arn": "arn:aws:sqs:us-east-1:000000000000:firings"});
    let mut schedule = made_for(&job).await;
    schedule["State"] = json!("DISABLED");
    schedule["Description"] = json!("an operator's");
    schedule["Target"]["DeadLetterConfig"] = queue.clone();
    let server = event_bridge_showing(&job, schedule).await;

    let mended = reconcile(&pool, &schedules(&server), || at(10)).await?;
    assert_eq!(mended.repaired, 1);

    let requests = server.received_requests().await.expect("requests");
    let put: Value = requests.last().expect("a request").body_json()?;
    assert_eq!(put["Description"], "an operator's");
    assert_eq!(put["Target"]["DeadLetterConfig"], queue);
    Ok(())
}
