//! Every answer names its request, and so does every line of the log that the request causes.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use uuid::Uuid;

use crate::fixture::{Answered, Fixture};

async fn ask(api: &Fixture, path: &str, ids: &[&str]) -> Answered {
    let mut request = Request::get(path);
    for id in ids {
        request = request.header("x-request-id", *id);
    }
    api.answer(request.body(Body::empty()).expect("a request"))
        .await
}

#[tokio::test]
async fn an_id_comes_back_and_one_that_is_missing_or_malformed_is_made_anew() {
    let api = Fixture::new();
    for path in ["/docs", "/nothing", "/symbols"] {
        let answered = ask(&api, path, &["order-4711/retry:2"]).await;
        assert_eq!(answered.header("x-request-id"), "order-4711/retry:2");

        for ids in [&[][..], &["a b"], &["a,b"], &["a", "b"], &["a\"} {\"x"]] {
            let (first, second) = (ask(&api, path, ids).await, ask(&api, path, ids).await);
            let [first, second] = [first, second].map(|answered| {
                let id: Uuid = answered.header("x-request-id").parse().expect("an id");
                id
            });
            assert_ne!(first, second, "{ids:?}");
        }
    }
}

/// Collects what is logged.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the lines").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_lines_of_the_log_have_the_ids_of_their_requests() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone())
        .finish();

    // For the whole process: a span that another test made first would be unknown to a subscriber of
    // this thread.
    tracing::subscriber::set_global_default(log).expect("no other test logs");
    let api = Fixture::new();
    ask(&api, "/symbols", &["first"]).await;
    ask(&api, "/prices/history?symbol=AAPL", &["second"]).await;

    let lines = String::from_utf8(lines.0.lock().expect("the lines").clone()).expect("text");
    let ids: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|line| {
            line["span"]["request_id"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();

    assert!(ids.contains(&"first".to_owned()), "{lines}");
    assert!(ids.contains(&"second".to_owned()), "{lines}");
}
