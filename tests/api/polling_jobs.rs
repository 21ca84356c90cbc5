//! Polling jobs: the job is written to Postgres first, its schedule is created second, and neither
//! stays without the other for long.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::repository::polling_jobs::{self, NewJob, removal};
use uuid::Uuid;
use wiremock::{Mock, ResponseTemplate};

use crate::fixture::{Answered, Api, at};

async fn post(api: &Api, body: &Value) -> Answered {
    api.send("POST", "/prices/poll", body.to_string()).await
}

pub(crate) async fn jobs(api: &Api) -> usize {
    api.get("/prices/poll").await.each("job_id").len()
}

/// The requests to change schedules that `EventBridge` received: the method and the schedule's name.
pub(crate) async fn asked_of_event_bridge(api: &Api) -> Vec<(String, String)> {
    let requests = api
        .event_bridge
        .received_requests()
        .await
        .expect("requests");

    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();

    requests
        .iter()
        .filter(|request| request.method.as_str() != "GET")
        .map(|request| (request.method.to_string(), name(request.url.path())))
        .collect()
}

/// Replaces every answer of `EventBridge` by `answer`, and forgets its requests.
pub(crate) async fn event_bridge_answers(api: &Api, answer: ResponseTemplate) {
    api.event_bridge.reset().await;

    Mock::given(wiremock::matchers::any())
        .respond_with(answer)
        .mount(&api.event_bridge)
        .await;
}

#[tokio::test]
async fn a_job_is_accepted_scheduled_shown_listed_and_deleted() {
    let api = Api::start().await;

    let accepted = post(&api, &json!({"symbols": ["msft", "AAPL"], "interval": 120})).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);

    let config = json!({"symbols": ["MSFT", "AAPL"], "interval": 120, "provider": "quoter", "market_hours": false});
    let job_id = accepted.json()["job_id"].as_str().unwrap().to_owned();
    assert_eq!(
        accepted.json(),
        json!({"job_id": job_id, "status": "accepted", "config": config})
    );

    let path = format!("/prices/poll/{job_id}");
    assert_eq!(accepted.location.as_ref(), Some(&path));

    assert_eq!(
        asked_of_event_bridge(&api).await,
        [("POST".to_owned(), job_id.clone())]
    );

    let job = api.get(&path).await.json();
    assert_eq!((&job["job_id"], &job["config"]), (&json!(job_id), &config));
    assert_eq!(
        (&job["status"], &job["last_run"]),
        (&json!("active"), &Value::Null)
    );

    let time = |field: &str| {
        job[field]
            .as_str()
            .unwrap()
            .parse::<shared::market::Timestamp>()
            .unwrap()
    };

    assert!(time("next_tick_at") > time("created_at"));

    let mut listed = api.get("/prices/poll").await.json()["items"].take();
    // A tick may have passed between the two answers.
    listed[0]["next_tick_at"] = job["next_tick_at"].clone();
    assert_eq!(listed, json!([job]));

    assert_eq!(api.send("DELETE", &path, String::new()).await.status, 204);
    assert_eq!(
        asked_of_event_bridge(&api).await[1],
        ("DELETE".to_owned(), job_id)
    );
    assert_eq!((api.get(&path).await.status, jobs(&api).await), (404, 0));
    assert_eq!(api.send("DELETE", &path, String::new()).await.status, 404);
}

#[tokio::test]
async fn a_job_that_names_no_interval_gets_the_configured_one() {
    let api = Api::start().await;
    let accepted = post(
        &api,
        &json!({"symbols": ["A"], "interval": null, "provider": "spare"}),
    )
    .await
    .json();

    assert_eq!(
        (
            &accepted["config"]["interval"],
            &accepted["config"]["provider"]
        ),
        (&json!(10), &json!("spare"))
    );
}

#[tokio::test]
async fn without_a_schedule_there_is_no_job_either() {
    let api = Api::start().await;

    event_bridge_answers(&api, ResponseTemplate::new(500)).await;

    post(&api, &json!({"symbols": ["A"], "interval": 60}))
        .await
        .assert_unavailable("scheduler-unavailable");

    assert!(!asked_of_event_bridge(&api).await.is_empty());
    assert_eq!(jobs(&api).await, 0);
}

#[tokio::test]
async fn a_schedule_that_is_there_already_is_as_good() {
    let api = Api::start().await;
    let conflict = ResponseTemplate::new(409)
        .insert_header("x-amzn-errortype", "ConflictException")
        .set_body_json(json!({"Message": "there is one"}));
    event_bridge_answers(&api, conflict).await;

    assert_eq!(
        post(&api, &json!({"symbols": ["A"], "interval": 60}))
            .await
            .status,
        202
    );
    assert_eq!(jobs(&api).await, 1);
}

#[tokio::test]
async fn a_job_stays_until_its_schedule_is_gone() {
    let api = Api::start().await;
    let path = post(&api, &json!({"symbols": ["A"], "interval": 60}))
        .await
        .location
        .unwrap();

    event_bridge_answers(&api, ResponseTemplate::new(500)).await;
    api.send("DELETE", &path, String::new())
        .await
        .assert_unavailable("scheduler-unavailable");
    assert_eq!(api.get(&path).await.status, 200);

    let gone = ResponseTemplate::new(404)
        .insert_header("x-amzn-errortype", "ResourceNotFoundException")
        .set_body_json(json!({"Message": "there is none"}));
    event_bridge_answers(&api, gone).await;
    assert_eq!(
        api.send("DELETE", &path, String::new()).await.status,
        204,
        "a schedule that is gone is as good"
    );
    assert_eq!(api.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_job_with_a_month_s_runs_is_deleted_as_soon_as_any_other() {
    let api = Api::start().await;

    let path = post(&api, &json!({"symbols": ["A"], "interval": 60}))
        .await
        .location
        .unwrap();

    let job_id: Uuid = path.rsplit('/').next().unwrap().parse().unwrap();

    sqlx::query(
        "insert into polling_runs (job_id, tick_time, status)
         select $1, tick_time, 'succeeded'
         from generate_series(now() - interval '431999 s', now(), interval '1 s') tick_time",
    )
    .bind(job_id)
    .execute(&api.pool)
    .await
    .unwrap();

    // It takes milliseconds. Removing the runs would take seconds.
    let begun = std::time::Instant::now();
    let deleting = api.send("DELETE", &path, String::new());
    let deleted = tokio::time::timeout(std::time::Duration::from_secs(1), deleting).await;
    assert_eq!(deleted.expect("an answer at once").status, 204);
    println!("deleted after {:?}", begun.elapsed());
    assert_eq!((api.get(&path).await.status, jobs(&api).await), (404, 0));
    assert_eq!(api.send("DELETE", &path, String::new()).await.status, 404);

    let removed = removal::remove_marked(&api.pool).await.unwrap();
    assert_eq!((removed.jobs, removed.runs), (1, 432_000));

    let left: i64 = sqlx::query_scalar("select count(*) from polling_runs")
        .fetch_one(&api.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn pages_have_every_job_once_in_the_order_of_creation_also_among_jobs_of_one_moment() {
    let api = Api::start().await;
    for second in [3, 1, 1, 1, 2] {
        let job = NewJob {
            job_id: Uuid::new_v4(),
            symbols: vec!["A".parse().unwrap()],
            provider: "quoter".parse().unwrap(),
            interval_seconds: 60,
            market_hours: false,
            created_at: at(second) + TimeDelta::microseconds(1),
        };
        polling_jobs::insert(&api.pool, &job, 0).await.unwrap();
    }

    let whole = api.get("/prices/poll").await;
    assert!(
        whole
            .each("created_at")
            .is_sorted_by_key(ToString::to_string),
        "{}",
        whole.text
    );

    for limit in 1..=6 {
        let mut seen = Vec::new();
        let mut cursor = String::new();

        for page in 1.. {
            let answered = api
                .get(&format!("/prices/poll?limit={limit}{cursor}"))
                .await;

            seen.extend(answered.each("job_id"));

            match answered.json()["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => {
                    assert_eq!(page, 5_usize.div_ceil(limit), "the last page has no cursor");
                    break;
                }
            }
        }

        assert_eq!(seen, whole.each("job_id"), "limit {limit}");
    }
}

#[tokio::test]
async fn a_job_that_does_not_exist_is_a_404_and_touches_no_schedule() {
    let api = Api::start().await;
    let path = format!("/prices/poll/{}", Uuid::new_v4());

    assert_eq!(api.get(&path).await.status, 404);
    assert_eq!(api.send("DELETE", &path, String::new()).await.status, 404);
    assert!(asked_of_event_bridge(&api).await.is_empty());
}

#[tokio::test]
async fn a_job_s_providers_are_a_list_and_a_faulty_list_is_refused_with_the_part_at_fault() {
    let api = Api::start().await;

    let listed = post(
        &api,
        &json!({"symbols": ["A"], "provider": "Quoter, spare"}),
    )
    .await;
    assert_eq!(listed.status, 202, "{}", listed.text);
    let (config, job_id) = (&listed.json()["config"], &listed.json()["job_id"]);
    assert_eq!(config["provider"], json!("quoter,spare"));
    let path = format!("/prices/poll/{}", job_id.as_str().unwrap());
    assert_eq!(&api.get(&path).await.json()["config"], config);

    for (list, status, named) in [
        ("spare,nobody", 400, "nobody"),
        ("spare,", 422, "part 2"),
        (
            "spare,SPARE",
            422,
            "part 2 of the list of providers repeats spare",
        ),
        ("a,b,c,d,e,f", 422, "at most 5 providers, not 6"),
    ] {
        let refused = post(&api, &json!({"symbols": ["A"], "provider": list})).await;
        assert_eq!(refused.status, status, "{list}: {}", refused.text);
        assert_eq!(refused.json()["errors"][0]["location"], "body.provider");
        assert!(refused.text.contains(named), "{list}: {}", refused.text);
    }
}
