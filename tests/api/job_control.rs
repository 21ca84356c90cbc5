//! Jobs that are changed, paused and resumed over HTTP, and lists of them.

use e2e::link::Moment;
use futures::future::join_all;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::fixture::{Answered, Api, LIMITS};
use crate::polling_jobs::{asked_of_event_bridge, event_bridge_answers};
use crate::polling_jobs_once::linked;

/// Longest that a machine which is busy with other tests may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

async fn created(api: &Api, body: Value) -> String {
    let answered = api.send("POST", "/prices/poll", body.to_string()).await;
    assert_eq!(answered.status, 202, "{}", answered.text);
    answered.location.expect("a location")
}

async fn patch(api: &Api, path: &str, body: Value) -> Answered {
    api.send("PATCH", path, body.to_string()).await
}

/// The body of the newest request to `EventBridge`.
async fn newest_schedule(api: &Api) -> Value {
    let requests = api
        .event_bridge
        .received_requests()
        .await
        .expect("requests");
    requests
        .last()
        .expect("a request")
        .body_json()
        .expect("a body")
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_leaves_the_rest() {
    let api = Api::start().await;
    let path = created(
        &api,
        json!({"symbols": ["A", "B"], "interval": 60, "provider": "spare"}),
    )
    .await;
    let config = |answered: &Answered| answered.json()["config"].clone();

    let changed = patch(&api, &path, json!({"symbols": ["c"]})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(
        config(&changed),
        json!({"symbols": ["C"], "interval": 60, "provider": "spare", "market_hours": false})
    );
    assert_eq!(
        asked_of_event_bridge(&api).await.len(),
        1,
        "the schedule is as it was"
    );

    let changed = patch(&api, &path, json!({"interval": 300, "provider": null})).await;
    assert_eq!(
        config(&changed),
        json!({"symbols": ["C"], "interval": 300, "provider": "quoter", "market_hours": false})
    );
    assert_eq!(config(&api.get(&path).await), config(&changed));
    let schedule = newest_schedule(&api).await;
    assert_eq!(schedule["ScheduleExpression"], "rate(5 minutes)");

    // Null gives the default: 10 s. A relay serves that, and the schedule goes.
    patch(&api, &path, json!({"interval": null})).await;
    assert_eq!(patch(&api, &path, json!({})).await.status, 200);

    let methods: Vec<String> = asked_of_event_bridge(&api)
        .await
        .into_iter()
        .map(|asked| asked.0)
        .collect();
    assert_eq!(methods, ["POST", "PUT", "POST", "DELETE"]);
}

#[tokio::test]
async fn a_patch_with_faults_names_each_and_changes_nothing() {
    let api = Api::start().await;
    let path = created(&api, json!({"symbols": ["A"], "interval": 60})).await;

    let refused = patch(
        &api,
        &path,
        json!({"symbols": null, "interval": 0, "provider": 5, "colour": "red"}),
    )
    .await;
    let mut places: Vec<String> = refused.json()["errors"]
        .as_array()
        .expect("faults")
        .iter()
        .map(|fault| fault["location"].as_str().expect("a place").to_owned())
        .collect();
    places.sort();
    assert_eq!(
        (refused.status, places),
        (
            422,
            ["colour", "interval", "provider", "symbols"]
                .map(|field| format!("body.{field}"))
                .to_vec()
        )
    );

    assert_eq!(
        patch(&api, &path, json!({"provider": "nobody"}))
            .await
            .status,
        400
    );
    assert_eq!(patch(&api, &path, json!([])).await.status, 422);
    assert_eq!(api.send("PATCH", &path, "{".to_owned()).await.status, 400);
    assert_eq!(api.get(&path).await.json()["config"]["interval"], 60);

    let nobody = format!("/prices/poll/{}", uuid::Uuid::new_v4());
    for (method, path) in [
        ("PATCH", nobody.clone()),
        ("POST", format!("{nobody}/pause")),
        ("POST", format!("{nobody}/resume")),
    ] {
        assert_eq!(
            api.send(method, &path, "{}".to_owned()).await.status,
            404,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn with_the_scheduler_away_a_changed_job_says_so_and_the_same_request_mends_it() {
    let api = Api::start().await;
    let path = created(&api, json!({"symbols": ["A"], "interval": 60})).await;

    event_bridge_answers(&api, ResponseTemplate::new(500)).await;
    let behind = patch(&api, &path, json!({"interval": 300})).await;
    behind.assert_unavailable("schedule-behind");
    assert_eq!(api.get(&path).await.json()["config"]["interval"], 300);

    let gone = ResponseTemplate::new(200).set_body_json(json!({"ScheduleArn": "arn"}));
    event_bridge_answers(&api, gone).await;
    assert_eq!(
        patch(&api, &path, json!({"interval": 300})).await.status,
        200
    );
    assert_eq!(
        newest_schedule(&api).await["ScheduleExpression"],
        "rate(5 minutes)"
    );
}

#[tokio::test]
async fn a_job_is_paused_and_resumed_once_however_often_it_is_asked_for() {
    let api = Api::start().await;
    let path = created(&api, json!({"symbols": ["A"], "interval": 60})).await;
    let post = async |action: &str| {
        api.send("POST", &format!("{path}/{action}"), String::new())
            .await
    };

    let paused = post("pause").await;
    assert_eq!(
        (paused.status, &paused.json()["status"]),
        (200, &json!("paused"))
    );
    assert_eq!(paused.json()["next_tick_at"], Value::Null);
    assert!(
        paused.json()["reason"]
            .as_str()
            .expect("a reason")
            .contains("paused")
    );
    assert_eq!(post("pause").await.json(), paused.json());
    assert_eq!(api.get(&path).await.json(), paused.json());

    let resumed = post("resume").await.json();
    assert_eq!(
        (&resumed["status"], &resumed["reason"]),
        (&json!("active"), &Value::Null)
    );
    assert!(resumed["next_tick_at"].is_string());
    assert!(resumed["since"].as_str() > paused.json()["since"].as_str());
    assert_eq!(post("resume").await.json()["since"], resumed["since"]);

    assert_eq!(
        asked_of_event_bridge(&api).await.len(),
        1,
        "the schedule stays"
    );
}

#[tokio::test]
async fn lists_are_filtered_by_status_and_symbol_on_every_page() {
    let api = Api::start().await;
    for symbols in [json!(["A"]), json!(["A", "B"]), json!(["B"]), json!(["A"])] {
        created(&api, json!({"symbols": symbols, "interval": 60})).await;
    }
    let all = api.get("/prices/poll").await.each("job_id");
    let last = all[3].as_str().expect("an id");
    api.send("POST", &format!("/prices/poll/{last}/pause"), String::new())
        .await;

    let found = async |query: &str| {
        api.get(&format!("/prices/poll?{query}"))
            .await
            .each("job_id")
    };
    assert_eq!(
        found("symbol=a").await,
        [all[0].clone(), all[1].clone(), all[3].clone()]
    );
    assert_eq!(found("symbol=A&status=active").await, all[..2]);
    assert_eq!(found("status=paused").await, all[3..]);
    assert_eq!(found("status=stalled").await, [] as [Value; 0]);

    let page = api.get("/prices/poll?symbol=A&limit=2").await;
    let cursor = page.json()["next_cursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    assert_eq!(
        found(&format!("symbol=A&limit=2&cursor={cursor}")).await,
        all[3..]
    );

    let refused = api.get("/prices/poll?status=happy").await;
    assert_eq!(refused.status, 422);
    assert!(
        refused
            .text
            .contains("active, backing_off, stalled, paused"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn each_limit_on_jobs_is_a_conflict_that_names_it() {
    let api = Api::start().await;
    let conflict = |answered: &Answered, kind: &str| {
        assert_eq!(
            (answered.status, answered.json()["type"].as_str()),
            (409, Some(format!("/docs#{kind}").as_str())),
            "{}",
            answered.text
        );
    };
    let post = async |count: u32| {
        let symbols: Vec<String> = (0..count).map(|number| format!("S{number}")).collect();
        let body = json!({"symbols": symbols, "interval": 60});
        api.send("POST", "/prices/poll", body.to_string()).await
    };

    conflict(&post(LIMITS.symbols_per_job + 1).await, "too-many-symbols");
    let path = post(LIMITS.symbols_per_job).await.location.expect("a job");
    for _ in 1..LIMITS.symbols / LIMITS.symbols_per_job {
        assert_eq!(post(LIMITS.symbols_per_job).await.status, 202);
    }
    conflict(&post(1).await, "too-many-symbols-in-all");

    // A change counts the same, and one that needs less is always allowed.
    assert_eq!(
        patch(&api, &path, json!({"symbols": ["A"]})).await.status,
        200
    );
    for _ in 0..LIMITS.symbols_per_job - 1 {
        assert_eq!(post(1).await.status, 202);
    }
    conflict(
        &patch(&api, &path, json!({"symbols": ["A", "B"]})).await,
        "too-many-symbols-in-all",
    );
}

/// Keeps each transaction that inserts a job open for a while, so that others are under way before
/// it commits.
async fn insert_slowly(api: &Api) {
    sqlx::raw_sql(
        "create function linger() returns trigger language plpgsql as
         $$ begin perform pg_sleep(0.05); return new; end $$;
         create trigger linger before insert on polling_jobs for each row execute function linger()",
    )
    .execute(&api.pool)
    .await
    .expect("a trigger");
}

#[tokio::test]
async fn the_limits_hold_exactly_against_requests_at_the_same_time() {
    for (symbols, expected) in [(1, LIMITS.jobs), (4, LIMITS.symbols / 4)] {
        let api = Api::start().await;
        insert_slowly(&api).await;
        let names: Vec<String> = (0..symbols).map(|number| format!("S{number}")).collect();
        let body = json!({"symbols": names, "interval": 60}).to_string();

        // Each waits for those before it. On a busy machine the time of the last ones may be up before
        // their turn: they are sent again.
        let (mut left, mut accepted, mut refused) = (20, 0, 0);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while left > 0 && tokio::time::Instant::now() < deadline {
            let sent = (0..left).map(|_| api.send("POST", "/prices/poll", body.clone()));
            for answered in join_all(sent).await {
                match answered.status {
                    202 => accepted += 1,
                    409 => refused += 1,
                    503 => continue,
                    other => panic!("{other}: {}", answered.text),
                }
                left -= 1;
            }
        }

        let expected = usize::try_from(expected).expect("a number");
        assert_eq!((accepted, refused), (expected, 20 - expected));
    }
}

#[tokio::test]
async fn a_change_whose_commit_gets_no_answer_is_a_504_and_may_be_sent_again() {
    let (api, link) = linked().await;
    let path = created(&api, json!({"symbols": ["A"], "interval": 60})).await;

    for (method, action, body) in [
        ("PATCH", "", json!({"symbols": ["B"]})),
        ("POST", "/pause", json!({})),
        ("POST", "/resume", json!({})),
    ] {
        let path = format!("{path}{action}");
        let sent = || api.send(method, &path, body.to_string());

        let (lost, ()) = tokio::join!(sent(), link.cut_at(Moment::Committed));
        assert_eq!(
            (lost.status, lost.json()["type"].as_str()),
            (504, Some("/docs#outcome-unknown")),
            "{method} {path}: {}",
            lost.text
        );
        let again = sent().await;
        assert_eq!(again.status, 200, "{method} {path}: {}", again.text);
    }

    let job = api.get(&path).await.json();
    assert_eq!(
        (&job["config"]["symbols"], &job["status"]),
        (&json!(["B"]), &json!("active"))
    );
}
