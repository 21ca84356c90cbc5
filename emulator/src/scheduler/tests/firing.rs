//! When schedules fire, and how a firing is tried again.

use super::*;

const START: &str = "2026-01-01T00:00:00Z";

#[tokio::test]
async fn a_rate_fires_at_its_start_and_then_at_each_rate() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(2 minutes)").await;
    invoker.calls(1).await;

    clock.advance(TimeDelta::seconds(120));
    invoker.calls(2).await;
    clock.advance(TimeDelta::seconds(121));

    let calls = invoker.calls(3).await;
    assert_eq!(
        times(&calls),
        [START, "2026-01-01T00:02:00Z", "2026-01-01T00:04:00Z"]
    );
    assert!(calls.iter().all(|(function, _)| function == "poller"));
}

#[tokio::test]
async fn a_function_that_answers_nothing_holds_up_no_schedule_of_another() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::closed([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    for number in 0..300 {
        running
            .create(&format!("job-{number}"), "rate(1 day)")
            .await;
    }
    invoker.calls(256).await;

    running
        .create_for("short-lived", clock.now(), "other", ("rate(1 day)", INPUT))
        .await;
    assert_eq!(invoker.calls(257).await[256].0, "short-lived");

    invoker.gate.add_permits(1_000);
    invoker.calls(301).await;
}

#[tokio::test]
async fn context_attributes_in_the_input_are_replaced() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    let input = r#"{"arn":"<aws.scheduler.schedule-arn>","id":"<aws.scheduler.execution-id>",
        "attempt":"<aws.scheduler.attempt-number>","job":7}"#;
    running
        .create_for("poller", clock.now(), "job", ("rate(1 minute)", input))
        .await;

    let payload = invoker.calls(1).await.remove(0).1;
    assert_eq!(
        payload["arn"],
        "arn:aws:scheduler:us-east-1:000000000000:schedule/polling/job"
    );
    assert_eq!(payload["id"].as_str().unwrap().len(), 16);
    assert_eq!(payload["attempt"], "1");
    assert_eq!(payload["job"], 7);
}

#[tokio::test]
async fn a_firing_answered_with_errors_is_tried_twice_more_then_given_up() {
    let answers = [function_error(), function_error(), function_error()];
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with(answers),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 day)").await;
    invoker.calls(1).await;

    wait_asleep(&clock, 2).await;
    clock.advance(TimeDelta::seconds(60));
    invoker.calls(2).await;
    wait_asleep(&clock, 2).await;
    clock.advance(TimeDelta::seconds(120));
    invoker.calls(3).await;
    wait_asleep(&clock, 1).await;

    clock.advance(TimeDelta::days(1));
    let calls = invoker.calls(4).await;
    assert_eq!(times(&calls), [START, START, START, "2026-01-02T00:00:00Z"]);
}

#[tokio::test]
async fn a_firing_is_not_tried_beyond_its_greatest_age() {
    let answers = [function_error(), function_error()];
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with(answers),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running
        .create_for("short-lived", clock.now(), "job", ("rate(1 day)", INPUT))
        .await;
    invoker.calls(1).await;

    wait_asleep(&clock, 2).await;
    clock.advance(TimeDelta::seconds(60));
    invoker.calls(2).await;
    wait_asleep(&clock, 1).await;

    clock.advance(TimeDelta::days(1));
    assert_eq!(
        times(&invoker.calls(3).await),
        [START, START, "2026-01-02T00:00:00Z"]
    );
}

#[tokio::test]
async fn a_throttled_firing_is_tried_again_without_costing_an_attempt() {
    let throttled = || Err(InvokeError::Throttled("poller".to_owned()));
    let answers = [
        throttled(),
        throttled(),
        throttled(),
        throttled(),
        success(),
    ];
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with(answers),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 day)").await;

    for (count, wait) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        invoker.calls(count).await;
        wait_asleep(&clock, 2).await;
        clock.advance(TimeDelta::seconds(wait));
    }

    invoker.calls(5).await;
    running.answered("job", START).await;
}

#[tokio::test]
async fn a_later_firing_does_not_wait_for_an_earlier_one() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::closed([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 minute)").await;
    invoker.calls(1).await;

    clock.advance(TimeDelta::seconds(60));
    assert_eq!(
        times(&invoker.calls(2).await),
        [START, "2026-01-01T00:01:00Z"]
    );

    invoker.gate.add_permits(2);
    running.answered("job", "2026-01-01T00:01:00Z").await;
}

#[tokio::test]
async fn a_deleted_schedule_neither_fires_nor_is_tried_again() {
    let answers = [function_error()];
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with(answers),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 minute)").await;
    invoker.calls(1).await;
    wait_asleep(&clock, 2).await;

    running.scheduler.delete(key("job"), None).await.unwrap();
    clock.advance(TimeDelta::minutes(10));

    running.create("witness", "rate(1 minute)").await;
    assert_eq!(
        times(&invoker.calls(2).await),
        [START, "2026-01-01T00:10:00Z"]
    );
}

#[tokio::test]
async fn a_start_in_the_future_is_waited_for() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running
        .create_starting(
            clock.now() + TimeDelta::seconds(30),
            "job",
            "rate(1 minute)",
        )
        .await;
    running.create("witness", "rate(1 day)").await;
    invoker.calls(1).await;

    clock.advance(TimeDelta::seconds(30));
    assert_eq!(
        times(&invoker.calls(2).await),
        [START, "2026-01-01T00:00:30Z"]
    );
}

/// Waits until `count` tasks sleep by the clock: the loop that fires, and each firing that waits.
async fn wait_asleep(clock: &TestClock, count: usize) {
    let asleep = async {
        while clock.0.receiver_count() != count {
            tokio::task::yield_now().await;
        }
    };

    tokio::time::timeout(DEADLINE, asleep)
        .await
        .expect("nothing waits for the clock");
}
