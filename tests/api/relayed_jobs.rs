//! Jobs that a relay serves, because their interval is not a whole number of minutes.

use serde_json::json;
use wiremock::ResponseTemplate;

use crate::fixture::{Api, RELAY_JOBS};
use crate::polling_jobs::{asked_of_event_bridge, event_bridge_answers};

/// The path of a new job.
async fn created(api: &Api, interval: u32) -> String {
    let body = json!({"symbols": ["A"], "interval": interval});
    let answered = api.send("POST", "/prices/poll", body.to_string()).await;
    assert_eq!(answered.status, 202, "{}", answered.text);
    answered.location.expect("a location")
}

/// The status of a change of a job's interval.
async fn changed(api: &Api, path: &str, interval: u32) -> u16 {
    let body = json!({"interval": interval}).to_string();
    api.send("PATCH", path, body).await.status
}

/// What was asked of `EventBridge` after its first `skipped` requests.
async fn asked_after(api: &Api, skipped: usize) -> Vec<(String, String)> {
    asked_of_event_bridge(api).await.split_off(skipped)
}

fn request(method: &str, schedule: &str) -> (String, String) {
    (method.to_owned(), schedule.to_owned())
}

#[tokio::test]
async fn they_share_relays_and_their_schedules() {
    let api = Api::start().await;

    for _ in 0..=RELAY_JOBS {
        created(&api, 61).await;
    }
    let relays = api.schedule_names().await;
    assert!(relays.iter().eq(["relay-1", "relay-2"]), "{relays:?}");

    created(&api, 180).await;
    assert_eq!(api.schedule_names().await.len(), 3);
}

#[tokio::test]
async fn a_change_moves_the_job_between_a_schedule_of_its_own_and_that_of_its_relay() {
    let api = Api::start().await;
    let path = created(&api, 60).await;
    let own = path.rsplit('/').next().expect("an id").to_owned();

    // The relay's schedule before the job's own goes, so that one of them always fires.
    assert_eq!(changed(&api, &path, 7).await, 200);
    assert_eq!(
        asked_after(&api, 1).await,
        [request("POST", "relay-1"), request("DELETE", &own)]
    );

    assert_eq!(changed(&api, &path, 120).await, 200);
    let asked = asked_after(&api, 3).await;
    assert!(
        asked.iter().all(|(_, schedule)| *schedule == own),
        "{asked:?}"
    );
    assert!(!asked.is_empty());
}

#[tokio::test]
async fn a_change_whose_schedule_cannot_follow_is_made_and_may_be_sent_again() {
    let api = Api::start().await;
    let path = created(&api, 60).await;

    event_bridge_answers(&api, ResponseTemplate::new(500)).await;
    assert_eq!(changed(&api, &path, 7).await, 503);
    let job = api.get(&path).await.json();
    assert_eq!(job["config"]["interval"], 7);

    let done = ResponseTemplate::new(200).set_body_json(json!({"ScheduleArn": "arn"}));
    event_bridge_answers(&api, done).await;
    assert_eq!(changed(&api, &path, 7).await, 200);
    let own = path.rsplit('/').next().expect("an id");
    assert_eq!(
        asked_after(&api, 0).await,
        [request("POST", "relay-1"), request("DELETE", own)]
    );
}
