//! What a visitor sees of the pipeline's operation: providers, and events that were rejected.

use e2e::stack::Stack;

use crate::visitor::Visitor;

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn a_rejected_event_is_shown_with_its_reason_and_sent_again() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    let producer = stack.producer().unwrap();
    let bad =
        br#"{"symbol":"ACME","price":-3,"timestamp":"2024-03-20T10:30:00Z","source":"elsewhere"}"#;
    producer.send("ACME", bad).await.unwrap();

    let said = Visitor::of("rejected.mjs", &stack).said().await;

    let (_, rejected) = stack.get("/rejected").await;
    assert_eq!(rejected["items"][0]["reason"], said["reason"], "{rejected}");
    assert_eq!(rejected["items"][0]["redriven"], 1, "{rejected}");
}

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn providers_are_shown_with_breaker_budget_and_what_they_need() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();

    Visitor::of("providers.mjs", &stack).said().await;
}
