//! Changes of jobs that Postgres does not answer.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::polling_jobs_once::linked;

/// The promise is 5 s; the rest allows for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(7);

#[tokio::test]
async fn a_change_that_postgres_was_never_told_is_a_503_because_nothing_is_changed() {
    for (method, action, body) in [
        ("PATCH", "", json!({"symbols": ["B"]})),
        ("PATCH", "", json!({"interval": 120})),
        ("POST", "/pause", Value::Null),
        ("POST", "/resume", Value::Null),
    ] {
        let (api, link) = linked().await;
        let create = json!({"symbols": ["A"], "interval": 60}).to_string();
        let created = api.send("POST", "/prices/poll", create).await;
        let path = created.location.expect("a job");

        link.stall();
        let path = format!("{path}{action}");
        let sent = timeout(PATIENCE, api.send(method, &path, body.to_string())).await;
        let unanswered = sent.unwrap_or_else(|_| panic!("{method} {path} was not answered"));
        unanswered.assert_unavailable("database-unavailable");
    }
}
