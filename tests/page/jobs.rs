//! What a visitor does with polling jobs, and what the page says if it does not work.

use e2e::stack::Stack;

use crate::visitor::{Visitor, lively_stack};

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn a_job_is_created_run_changed_paused_resumed_and_deleted_from_the_screen_alone() {
    let data = tempfile::tempdir().unwrap();
    let stack = lively_stack(data.path()).await;

    let said = Visitor::of("job-life.mjs", &stack).said().await;

    assert_eq!(said["reason"], "replay does not know the symbol NOPE");
    let (_, jobs) = stack.get("/prices/poll").await;
    assert_eq!(jobs["items"], serde_json::json!([]), "it was deleted");
}

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn a_problem_is_shown_in_the_words_of_the_api_at_the_field_that_it_is_about() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();

    Visitor::of("api-error.mjs", &stack).said().await;
}
