//! Single moments, and schedules that are deleted once they have completed.

use super::*;

const START: &str = "2026-01-01T00:00:00Z";

/// A schedule that is deleted after its only moment.
fn once(moment: &str) -> Definition {
    definition(&json!({
        "ScheduleExpression": format!("at({moment})"),
        "ActionAfterCompletion": "DELETE",
    }))
}

impl Running {
    async fn create_defined(&self, name: &str, definition: Definition) {
        let created = self.scheduler.create(key(name), definition, None);
        created.await.unwrap();
    }

    async fn gone(&self, name: &str) {
        let removed = async {
            while self.scheduler.get(&key(name)).is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, removed)
            .await
            .expect("the schedule is still there");
    }
}

#[tokio::test]
async fn a_moment_long_past_never_comes_not_even_after_a_restart() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::with([]);
    let past = |moment| definition(&json!({ "ScheduleExpression": format!("at({moment})") }));

    let running = Running::start(home.path(), &clock, &invoker);
    running
        .create_defined("late", past("2025-12-31T23:58:59"))
        .await;
    running
        .create_defined("changed", past("2026-06-01T00:00:00"))
        .await;
    let update = running
        .scheduler
        .update(key("changed"), past("2025-12-31T00:00:00"));
    update.await.unwrap();
    running
        .create_defined("in-time", past("2025-12-31T23:59:00"))
        .await;
    running.answered("in-time", "2025-12-31T23:59:00Z").await;
    running.stop().await;

    clock.advance(TimeDelta::minutes(5));
    let running = Running::start(home.path(), &clock, &invoker);
    running.create("witness", "rate(1 minute)").await;
    running.answered("witness", "2026-01-01T00:05:00Z").await;
    assert_eq!(
        times(&invoker.calls(2).await),
        ["2025-12-31T23:59:00Z", "2026-01-01T00:05:00Z"]
    );
}

#[tokio::test]
async fn a_moment_that_passed_while_the_emulator_was_down_comes_at_the_start() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::with([]);
    let running = Running::start(home.path(), &clock, &invoker);
    running
        .create_defined("job", once("2026-01-01T00:10:00"))
        .await;
    running.stop().await;

    clock.advance(TimeDelta::hours(1));
    let running = Running::start(home.path(), &clock, &invoker);
    running.gone("job").await;
    assert_eq!(times(&invoker.calls(1).await), ["2026-01-01T00:10:00Z"]);
}

#[tokio::test]
async fn a_completed_schedule_is_deleted_whether_its_last_firing_is_answered_or_given_up() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let unknown = || Err(InvokeError::NoSuchFunction("poller".to_owned()));
    let invoker = FakeInvoker::with([success(), unknown()]);
    let running = Running::start(home.path(), &clock, &invoker);

    for name in ["answered", "given-up"] {
        running
            .create_defined(name, once("2026-01-01T00:00:00"))
            .await;
        running.gone(name).await;
    }
    running.stop().await;

    clock.advance(TimeDelta::minutes(5));
    let running = Running::start(home.path(), &clock, &invoker);
    assert_eq!(running.scheduler.book().schedules().count(), 0);
    assert_eq!(invoker.calls(2).await.len(), 2);
}

#[tokio::test]
async fn a_schedule_without_a_moment_to_come_is_deleted_without_a_firing() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::with([]);
    let running = Running::start(home.path(), &clock, &invoker);

    running
        .create_defined("skipped", once("2025-12-31T00:00:00"))
        .await;
    running.gone("skipped").await;

    // Its last firing was answered before it was to be deleted after completion.
    let moment = json!({ "ScheduleExpression": "at(2026-01-01T00:00:00)" });
    running.create_defined("updated", definition(&moment)).await;
    running.answered("updated", START).await;
    let update = running
        .scheduler
        .update(key("updated"), once("2026-01-01T00:00:00"));
    update.await.unwrap();
    running.gone("updated").await;
    assert_eq!(times(&invoker.calls(1).await), [START]);
}

#[tokio::test]
async fn a_completed_schedule_that_cannot_be_removed_is_removed_later() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::closed([]);
    let running = Running::start(home.path(), &clock, &invoker);
    running
        .create_defined("job", once("2026-01-01T00:00:00"))
        .await;
    invoker.calls(1).await;

    let file = home.path().join("schedules/polling/job.json");
    let stored = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    invoker.gate.add_permits(9);
    running.stop().await;

    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, stored).unwrap();
    let running = Running::start(home.path(), &clock, &invoker);
    running.gone("job").await;
    assert!(!file.exists());
}

#[tokio::test]
async fn a_firing_of_a_deleted_schedule_does_not_remove_a_new_one_with_its_key() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::closed([success(), function_error()]);
    let running = Running::start(home.path(), &clock, &invoker);

    running
        .create_defined("job", once("2026-01-01T00:00:00"))
        .await;
    invoker.calls(1).await;
    running.scheduler.delete(key("job"), None).await.unwrap();
    running
        .create_defined("job", once("2026-01-01T00:00:00"))
        .await;
    invoker.calls(2).await;

    // The old schedule's firing is answered. The new one's is cut short by the stop.
    running.stop.cancel();
    invoker.gate.add_permits(2);
    running.ended().await;

    invoker.gate.add_permits(1);
    let running = Running::start(home.path(), &clock, &invoker);
    assert_eq!(times(&invoker.calls(3).await), [START, START, START]);
    running.gone("job").await;
}
