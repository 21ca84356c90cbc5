//! Requests for a job that are sent again, or whose answer from Postgres is lost.

use chrono::{TimeDelta, Utc};
use e2e::link::{Link, Moment};
use futures::future::join_all;
use serde_json::{Value, json};
use shared::repository::polling_jobs::NewJob;
use shared::repository::polling_jobs::removal::{Removed, remove_marked};
use shared::repository::{self, polling_jobs};
use uuid::Uuid;
use wiremock::matchers::method;
use wiremock::{Mock, ResponseTemplate};

use crate::fixture::{Answered, Api, LIMITS, RELAY_JOBS};
use crate::polling_jobs::{asked_of_event_bridge, event_bridge_answers, jobs};

fn body(symbol: &str) -> String {
    json!({"symbols": [symbol], "interval": 60}).to_string()
}

async fn post(api: &Api, symbol: &str, key: &str) -> Answered {
    api.send_with(
        "POST",
        "/prices/poll",
        body(symbol),
        &[("idempotency-key", key)],
    )
    .await
}

fn job_id(answered: &Answered) -> Uuid {
    assert_eq!(answered.status, 202, "{}", answered.text);
    answered.json()["job_id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("a job id")
}

/// An API whose database connections a test can cut.
pub(crate) async fn linked() -> (Api, Link) {
    let url = e2e::postgres::database_url().await.expect("a database");
    let link = Link::open(&url).await.expect("a link");

    (
        Api::over(repository::connect(link.url(), 4).expect("a pool")).await,
        link,
    )
}

#[tokio::test]
async fn a_job_whose_commit_gets_no_answer_is_a_503_and_never_runs() {
    let (api, link) = linked().await;

    let post = api.send("POST", "/prices/poll", body("A"));
    let (answered, ()) = tokio::join!(post, link.cut_at(Moment::Committed));
    answered.assert_unavailable("database-unavailable");

    let committed: Vec<Uuid> = sqlx::query_scalar("select job_id from polling_jobs")
        .fetch_all(&api.pool)
        .await
        .unwrap();
    assert_eq!(committed.len(), 1, "the row is there");

    assert_eq!(jobs(&api).await, 0);
    assert_eq!(
        api.get(&format!("/prices/poll/{}", committed[0]))
            .await
            .status,
        404
    );
    assert!(asked_of_event_bridge(&api).await.is_empty());

    assert_eq!(
        remove_marked(&api.pool).await.unwrap(),
        Removed::default(),
        "its request may still be under way"
    );

    let age = "update polling_jobs set pending_since = pending_since - interval '6 minutes'";
    sqlx::query(age).execute(&api.pool).await.unwrap();

    assert_eq!(
        remove_marked(&api.pool).await.unwrap(),
        Removed {
            pending: 1,
            ..Removed::default()
        }
    );

    assert!(
        !polling_jobs::activate(&api.pool, committed[0])
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn with_a_key_a_job_whose_commit_got_no_answer_is_made_by_the_next_try() {
    let (api, link) = linked().await;

    let (lost, ()) = tokio::join!(post(&api, "A", "k"), link.cut_at(Moment::Committed));
    lost.assert_unavailable("database-unavailable");

    let made = job_id(&post(&api, "A", "k").await);
    assert_eq!(job_id(&post(&api, "A", "k").await), made);

    assert_eq!(jobs(&api).await, 1);
    assert_eq!(
        asked_of_event_bridge(&api).await,
        [("POST".to_owned(), made.to_string())]
    );
}

#[tokio::test]
async fn a_job_whose_activation_gets_no_answer_is_accepted_once_it_is_known() {
    let (api, link) = linked().await;

    let post = api.send("POST", "/prices/poll", body("A"));
    let (answered, ()) = tokio::join!(post, link.cut_at(Moment::Updated));

    let path = format!("/prices/poll/{}", job_id(&answered));
    assert_eq!(api.get(&path).await.status, 200);
}

#[tokio::test]
async fn with_postgres_silent_after_the_job_s_schedule_was_made_the_answer_is_no_503() {
    let (api, link) = linked().await;

    let delayed = ResponseTemplate::new(200)
        .set_body_json(json!({"ScheduleArn": "arn"}))
        .set_delay(std::time::Duration::from_millis(500));
    event_bridge_answers(&api, delayed).await;

    let stalled = async {
        e2e::waiting::until(
            "request for the schedule",
            std::time::Duration::from_secs(20),
            async || (!asked_of_event_bridge(&api).await.is_empty()).then_some(()),
        )
        .await;
        link.stall();
    };

    let (answered, ()) = tokio::join!(api.send("POST", "/prices/poll", body("A")), stalled);

    assert_eq!(
        (answered.status, &answered.json()["type"]),
        (504, &json!("/docs#outcome-unknown"))
    );

    let (_, asked) = asked_of_event_bridge(&api).await.remove(0);
    assert!(
        answered.json()["detail"].as_str().unwrap().contains(&asked),
        "{}",
        answered.text
    );
}

#[tokio::test]
async fn the_same_request_with_the_same_key_gives_the_same_job_also_at_the_same_time() {
    let api = Api::start().await;

    let answers = join_all((0..5).map(|_| post(&api, "A", "k"))).await;
    let ids: Vec<Uuid> = answers.iter().map(job_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(
        answers
            .iter()
            .all(|answered| answered.text == answers[0].text),
        "{answers:?}"
    );

    // The same request with other spelling and order.
    let spelt = json!({"interval": 60, "symbols": ["a"], "provider": "quoter"}).to_string();
    let spelt = api
        .send_with("POST", "/prices/poll", spelt, &[("idempotency-key", "k")])
        .await;
    assert_eq!(job_id(&spelt), ids[0]);

    assert_ne!(job_id(&post(&api, "A", "another").await), ids[0]);
    assert_eq!(jobs(&api).await, 2);
}

#[tokio::test]
async fn a_key_of_another_request_is_refused_with_the_job_of_that_one() {
    let api = Api::start().await;

    let made = job_id(&post(&api, "A", "k").await);
    let refused = post(&api, "B", "k").await;

    assert_eq!(
        (refused.status, &refused.json()["type"]),
        (422, &json!("/docs#idempotency-key-reused"))
    );
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains(&made.to_string()),
        "{}",
        refused.text
    );

    assert_eq!(jobs(&api).await, 1);
}

#[tokio::test]
async fn a_key_outlives_its_job_and_is_free_after_a_day() {
    let api = Api::start().await;
    let made = job_id(&post(&api, "A", "k").await);
    let assert_refused = async || {
        let refused = post(&api, "A", "k").await;
        let problem = refused.json();
        assert_eq!(
            (refused.status, &problem["type"]),
            (422, &json!("/docs#idempotency-key-reused"))
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("{made} that it made is deleted")));
    };

    let path = format!("/prices/poll/{made}");
    assert_eq!(api.send("DELETE", &path, String::new()).await.status, 204);
    assert_refused().await;

    assert_eq!(
        remove_marked(&api.pool).await.unwrap(),
        Removed {
            jobs: 1,
            ..Removed::default()
        }
    );

    assert_refused().await;
    assert_eq!(jobs(&api).await, 0);

    let age = "update polling_job_keys set created_at = created_at - interval '25 hours'";
    sqlx::query(age).execute(&api.pool).await.unwrap();

    assert_ne!(job_id(&post(&api, "B", "k").await), made);

    sqlx::query(age).execute(&api.pool).await.unwrap();

    assert_eq!(
        remove_marked(&api.pool).await.unwrap(),
        Removed {
            keys: 1,
            ..Removed::default()
        }
    );
    assert_eq!(jobs(&api).await, 1, "the job stays");
}

#[tokio::test]
async fn a_request_that_failed_for_want_of_a_schedule_leaves_its_key_free() {
    let api = Api::start().await;

    event_bridge_answers(&api, ResponseTemplate::new(500)).await;
    post(&api, "A", "k")
        .await
        .assert_unavailable("scheduler-unavailable");

    let left: i64 = sqlx::query_scalar("select count(*) from polling_job_keys")
        .fetch_one(&api.pool)
        .await
        .unwrap();
    assert_eq!((left, jobs(&api).await), (0, 0));

    event_bridge_answers(
        &api,
        ResponseTemplate::new(200).set_body_json(json!({"ScheduleArn": "arn"})),
    )
    .await;

    job_id(&post(&api, "B", "k").await);
}

/// Lets the requests that are under way be over.
async fn let_requests_end(api: &Api) {
    let age = "update polling_jobs set pending_since = pending_since - interval '11 seconds',
                      start_at = start_at - interval '11 seconds'
               where pending_since is not null";
    sqlx::query(age).execute(&api.pool).await.expect("aged");
}

/// Leaves a job pending, as a request does whose api is killed, and returns its id.
async fn left_pending(api: &Api, symbol: &str, key: &str) -> Uuid {
    let job = NewJob {
        job_id: Uuid::new_v4(),
        symbols: vec![symbol.parse().expect("a symbol")],
        provider: "quoter".parse().expect("a provider"),
        interval_seconds: 60,
        market_hours: false,
        created_at: Utc::now() - TimeDelta::seconds(11),
    };
    polling_jobs::prepare(&api.pool, &job, Some(key), &LIMITS, RELAY_JOBS)
        .await
        .expect("a job");
    let_requests_end(api).await;
    job.job_id
}

#[tokio::test]
async fn a_request_that_continues_an_abandoned_one_is_held_to_the_limits() {
    let api = Api::start().await;
    let left = left_pending(&api, "A", "k").await;
    for number in 0..LIMITS.jobs {
        job_id(&post(&api, "B", &number.to_string()).await);
    }

    let refused = post(&api, "A", "k").await;
    assert_eq!(
        (refused.status, &refused.json()["type"]),
        (409, &json!("/docs#too-many-jobs"))
    );
    assert_eq!(jobs(&api).await, 12);

    // Once there is a place, it gets it, and it counts from the request on.
    let path = "/prices/poll";
    let first = api.get(path).await.each("job_id")[0].clone();
    let path = format!("{path}/{}", first.as_str().unwrap());
    assert_eq!(api.send("DELETE", &path, String::new()).await.status, 204);
    assert_eq!(job_id(&post(&api, "A", "k").await), left);
    assert_eq!(post(&api, "C", "another").await.status, 409);
}

#[tokio::test]
async fn a_request_that_continues_an_abandoned_one_begins_the_job_s_ticks_anew() {
    let api = Api::start().await;
    let left = left_pending(&api, "A", "k").await;
    // The schedule of the abandoned request exists, and begins in the past.
    let conflict = ResponseTemplate::new(409)
        .insert_header("x-amzn-errortype", "ConflictException")
        .set_body_json(json!({"Message": "it exists"}));
    Mock::given(method("POST"))
        .respond_with(conflict)
        .with_priority(1)
        .mount(&api.event_bridge)
        .await;

    let before = Utc::now();
    assert_eq!(job_id(&post(&api, "A", "k").await), left);

    let job = polling_jobs::get(&api.pool, left).await.unwrap().unwrap();
    assert!(job.start_at > before && job.created_at >= before, "{job:?}");
    let requests = api.event_bridge.received_requests().await.unwrap();
    let put: Value = requests.last().unwrap().body_json().unwrap();
    assert_eq!(put["StartDate"], json!(job.start_at.timestamp()));
}

#[tokio::test]
async fn a_malformed_key_is_refused_with_its_place() {
    let api = Api::start().await;
    let long = "k".repeat(256);

    for headers in [
        vec![("idempotency-key", "")],
        vec![("idempotency-key", "a b")],
        vec![("idempotency-key", "schlüssel")],
        vec![("idempotency-key", long.as_str())],
        vec![("idempotency-key", "a"), ("idempotency-key", "a")],
    ] {
        let refused = api
            .send_with("POST", "/prices/poll", body("A"), &headers)
            .await;
        let location: Value = refused.json()["errors"][0]["location"].clone();

        assert_eq!(
            (refused.status, location),
            (422, json!("header.Idempotency-Key")),
            "{headers:?}"
        );
    }

    assert_eq!(jobs(&api).await, 0);
    job_id(&post(&api, "A", &long[..255]).await);
}
