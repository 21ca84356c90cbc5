//! Changes that cannot be stored: they have no effect, and the same request can be sent again.
//! Those of clients that disconnect are stored.

use std::fs;
use std::path::PathBuf;

use super::super::refusal::Refusal;
use super::*;

const START: &str = "2026-01-01T00:00:00Z";

/// A directory of schedules in whose place there is a file, so that nothing can be stored.
struct Broken(PathBuf);

impl Broken {
    fn disk(home: &Path) -> Self {
        let directory = home.join("schedules");
        fs::rename(&directory, home.join("away")).unwrap();
        fs::write(&directory, "").unwrap();
        Self(directory)
    }

    fn repair(self) {
        fs::remove_file(&self.0).unwrap();
        fs::rename(self.0.with_file_name("away"), self.0).unwrap();
    }
}

fn unstored<T: std::fmt::Debug>(answer: Result<T, Refusal>) {
    assert_eq!(answer.unwrap_err(), Refusal::Internal);
}

fn hourly() -> Definition {
    definition(&json!({ "ScheduleExpression": "rate(1 hour)" }))
}

fn minutely() -> Definition {
    definition(&json!({ "ScheduleExpression": "rate(1 minute)" }))
}

#[tokio::test]
async fn a_creation_that_cannot_be_stored_creates_nothing_and_succeeds_when_repeated() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let running = Running::start(home.path(), &clock, &FakeInvoker::with([]));
    let create = || {
        let token = Some("once".to_owned());
        running.scheduler.create(key("job"), hourly(), token)
    };

    let broken = Broken::disk(home.path());
    unstored(create().await);
    assert!(running.scheduler.get(&key("job")).is_err());

    broken.repair();
    create().await.unwrap();
    running.answered("job", START).await;
}

#[tokio::test]
async fn a_creation_that_is_repeated_harms_nothing_while_nothing_can_be_stored() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::with([]);
    let running = Running::start(home.path(), &clock, &invoker);
    let create = || {
        let token = Some("once".to_owned());
        running.scheduler.create(key("job"), minutely(), token)
    };
    create().await.unwrap();
    running.answered("job", START).await;

    let broken = Broken::disk(home.path());
    create().await.unwrap();
    broken.repair();

    clock.advance(TimeDelta::seconds(60));
    assert_eq!(
        times(&invoker.calls(2).await),
        [START, "2026-01-01T00:01:00Z"]
    );
    running.stop().await;

    let running = Running::start(home.path(), &clock, &invoker);
    assert!(running.scheduler.get(&key("job")).is_ok());
}

#[tokio::test]
async fn a_change_takes_effect_although_its_client_has_disconnected() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let running = Running::start(home.path(), &clock, &FakeInvoker::with([]));
    running.create("witness", "rate(1 day)").await;
    running.answered("witness", START).await;

    let mut create = Box::pin(running.scheduler.create(key("job"), hourly(), None));
    assert!(futures::poll!(&mut create).is_pending());
    drop(create);

    let stored = async {
        while running.scheduler.get(&key("job")).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, stored)
        .await
        .expect("the schedule was not created");
    running.answered("job", START).await;
}

#[tokio::test]
async fn an_update_that_cannot_be_stored_changes_nothing_and_succeeds_when_repeated() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::with([]);
    let running = Running::start(home.path(), &clock, &invoker);
    running
        .scheduler
        .create(key("job"), hourly(), None)
        .await
        .unwrap();
    running.answered("job", START).await;
    let before = running.scheduler.get(&key("job")).unwrap();

    let broken = Broken::disk(home.path());
    unstored(running.scheduler.update(key("job"), minutely()).await);
    assert_eq!(running.scheduler.get(&key("job")).unwrap(), before);

    broken.repair();
    let update = running.scheduler.update(key("job"), minutely());
    update.await.unwrap();
    clock.advance(TimeDelta::seconds(60));
    running.answered("job", "2026-01-01T00:01:00Z").await;
    running.stop().await;

    let running = Running::start(home.path(), &clock, &invoker);
    let after = running.scheduler.get(&key("job")).unwrap();
    assert_eq!(after.definition, minutely());
}

#[tokio::test]
async fn a_deletion_that_cannot_be_stored_deletes_nothing_and_succeeds_when_repeated() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::with([]);
    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 minute)").await;
    running.answered("job", START).await;

    let broken = Broken::disk(home.path());
    unstored(running.scheduler.delete(key("job"), None).await);
    assert!(running.scheduler.get(&key("job")).is_ok());

    broken.repair();
    clock.advance(TimeDelta::seconds(60));
    running.answered("job", "2026-01-01T00:01:00Z").await;
    running.scheduler.delete(key("job"), None).await.unwrap();
    running.stop().await;

    let running = Running::start(home.path(), &clock, &invoker);
    assert!(running.scheduler.get(&key("job")).is_err());
}

#[tokio::test]
async fn a_group_that_cannot_be_stored_or_removed_stays_as_it_was() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::with([]);
    let running = Running::start(home.path(), &clock, &invoker);
    let scheduler = &running.scheduler;
    let create = || scheduler.create_group("extra".to_owned(), None);
    let delete = || scheduler.delete_group("extra".to_owned());
    let job = Key {
        group: "extra".to_owned(),
        name: "job".to_owned(),
    };

    let broken = Broken::disk(home.path());
    unstored(create().await);
    assert!(scheduler.get_group("extra").is_err());
    broken.repair();
    create().await.unwrap();
    let created = scheduler.create(job.clone(), hourly(), None);
    created.await.unwrap();

    let broken = Broken::disk(home.path());
    unstored(delete().await);
    assert!(scheduler.get_group("extra").is_ok() && scheduler.get(&job).is_ok());
    broken.repair();
    delete().await.unwrap();
    create().await.unwrap();
    running.stop().await;

    let running = Running::start(home.path(), &clock, &invoker);
    assert!(running.scheduler.get_group("extra").is_ok());
    assert!(running.scheduler.get(&job).is_err());
}

#[tokio::test]
async fn what_is_left_of_a_removed_group_is_no_group_and_is_cleared_away() {
    let (home, clock) = (tempfile::tempdir().unwrap(), TestClock::at(START));
    let invoker = FakeInvoker::with([]);
    let running = Running::start(home.path(), &clock, &invoker);
    running.create("job", "rate(1 day)").await;
    running.stop().await;

    let groups = home.path().join("schedules");
    let left = groups.join(".polling.removed");
    fs::rename(groups.join("polling"), &left).unwrap();

    let running = Running::start(home.path(), &clock, &invoker);
    assert!(running.scheduler.get(&key("job")).is_err());
    assert!(!left.exists());
}
