//! What a restart of the emulator keeps, repeats and drops.

use super::*;

const START: &str = "2026-01-01T00:00:00Z";

#[tokio::test]
async fn of_the_firings_missed_only_the_newest_is_delivered_at_start() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 minute)").await;
    running.answered("job", START).await;
    running.stop().await;

    clock.advance(TimeDelta::seconds(630));
    let _running = Running::start(home.path(), &clock, &invoker);
    invoker.calls(2).await;
    clock.advance(TimeDelta::seconds(30));

    let calls = invoker.calls(3).await;
    assert_eq!(
        times(&calls),
        [START, "2026-01-01T00:10:00Z", "2026-01-01T00:11:00Z"]
    );
}

#[tokio::test]
async fn a_firing_that_was_answered_is_not_delivered_again() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 minute)").await;
    running.answered("job", START).await;
    running.stop().await;

    let _running = Running::start(home.path(), &clock, &invoker);
    clock.advance(TimeDelta::seconds(60));
    assert_eq!(
        times(&invoker.calls(2).await),
        [START, "2026-01-01T00:01:00Z"]
    );
}

#[tokio::test]
async fn a_firing_cut_short_by_the_stop_is_delivered_again() {
    let clock = TestClock::at(START);
    let (home, invoker) = (
        tempfile::tempdir().unwrap(),
        FakeInvoker::closed([function_error()]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 minute)").await;
    invoker.calls(1).await;

    running.stop.cancel();
    invoker.gate.add_permits(2);
    running.ended().await;

    let running = Running::start(home.path(), &clock, &invoker);
    assert_eq!(times(&invoker.calls(2).await), [START, START]);
    running.answered("job", START).await;
}

#[tokio::test]
async fn a_firing_in_flight_at_the_stop_is_noted_once_answered() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::closed([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 minute)").await;
    invoker.calls(1).await;

    running.stop.cancel();
    invoker.gate.add_permits(1);
    running.ended().await;

    let running = Running::start(home.path(), &clock, &invoker);
    running.answered("job", START).await;
}

#[tokio::test]
async fn schedules_named_as_directories_are_kept_like_others() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    let names = [".", "..", ".group", "A", "group"];
    for name in names {
        running.create(name, "rate(1 day)").await;
    }

    let Running {
        scheduler, stop, ..
    } = &running;
    let before: Vec<Definition> = names
        .iter()
        .map(|name| scheduler.get(&key(name)).unwrap().definition)
        .collect();

    stop.cancel();
    running.ended().await;
    let running = Running::start(home.path(), &clock, &invoker);
    let after: Vec<Definition> = names
        .iter()
        .map(|name| running.scheduler.get(&key(name)).unwrap().definition)
        .collect();

    assert_eq!(after, before);
}

#[tokio::test]
async fn a_deleted_schedule_stays_deleted() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 minute)").await;
    running.scheduler.delete(key("job"), None).await.unwrap();
    running.stop().await;

    let running = Running::start(home.path(), &clock, &invoker);
    assert!(running.scheduler.get(&key("job")).is_err());
}

#[tokio::test]
async fn an_unreadable_file_does_not_keep_the_others_from_starting() {
    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::with([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 minute)").await;
    running.stop().await;

    std::fs::write(home.path().join("schedules/polling/broken.json"), "{").unwrap();
    let running = Running::start(home.path(), &clock, &invoker);
    assert!(running.scheduler.get(&key("job")).is_ok());
}

#[tokio::test]
async fn a_declared_schedule_keeps_its_history_over_a_restart() {
    let declared = || DeclaredSchedule {
        group: "polling".to_owned(),
        name: "upkeep".to_owned(),
        expression: "rate(10 minutes)".to_owned(),
        function: "upkeep".to_owned(),
        input: Some(r#"{"at":"<aws.scheduler.scheduled-time>"}"#.to_owned()),
        retry_attempts: 2,
    };

    let (home, clock, invoker) = (
        tempfile::tempdir().unwrap(),
        TestClock::at(START),
        FakeInvoker::closed([]),
    );

    let running = Running::start(home.path(), &clock, &invoker);
    running.scheduler.ensure(declared()).unwrap();
    invoker.calls(1).await;
    running.stop.cancel();
    invoker.gate.add_permits(9);
    running.ended().await;

    clock.advance(TimeDelta::minutes(3));
    let running = Running::start(home.path(), &clock, &invoker);
    running.scheduler.ensure(declared()).unwrap();
    clock.advance(TimeDelta::minutes(7));

    assert_eq!(
        times(&invoker.calls(2).await),
        [START, "2026-01-01T00:10:00Z"]
    );
}
