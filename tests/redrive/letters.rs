//! Which letters are sent back, and that none is sent twice.

use serde_json::Value;
use shared::dead_letters::letter::Unsendable;
use shared::dead_letters::port::{DeadLetters as _, Selection};
use shared::dead_letters::{Action, Outcome};

use crate::world::{World, bare, envelope, original};

async fn letter(world: &World, partition: i32, condition: &str, offset: i64) {
    world
        .dead(
            partition,
            &envelope(condition, &original(offset, &bare(1, "150.25"))),
        )
        .await;
}

#[tokio::test]
async fn every_letter_is_sent_once_with_its_key_however_often_the_command_runs() {
    let world = World::new();

    for offset in 0..3 {
        letter(&world, 0, "RetriesExhausted", offset).await;
    }
    letter(&world, 1, "RetriesExhausted", 3).await;

    assert_eq!(
        world.redrive(None, false).await.0,
        Outcome {
            sent: 4,
            ..Outcome::default()
        }
    );

    let records = world.records().await;
    assert_eq!(records.len(), 4);
    assert!(
        records
            .iter()
            .all(|record| record.key.as_deref() == Some(b"AAPL"))
    );

    assert_eq!(world.redrive(None, false).await.0, Outcome::default());
    letter(&world, 0, "RetriesExhausted", 4).await;
    assert_eq!(
        world.redrive(None, false).await.0,
        Outcome {
            sent: 1,
            ..Outcome::default()
        }
    );
    assert_eq!(world.records().await.len(), 5);
}

#[tokio::test]
async fn letters_chosen_by_reason_are_not_sent_again_with_all_the_others() {
    let world = World::new();
    for (offset, condition) in (0..).zip([
        "RecordAgeExceeded",
        "RetriesExhausted",
        "RecordAgeExceeded",
        "RetriesExhausted",
    ]) {
        letter(&world, 0, condition, offset).await;
    }

    let (outcome, told) = world.redrive(Some("retriesexhausted"), false).await;
    assert_eq!(
        outcome,
        Outcome {
            sent: 2,
            passed_over: 2,
            ..Outcome::default()
        }
    );
    assert!(
        told.contains(&(1, Action::Sent)) && told.contains(&(2, Action::PassedOver)),
        "{told:?}"
    );

    let (outcome, _) = world.redrive(None, false).await;
    assert_eq!(
        outcome,
        Outcome {
            sent: 2,
            sent_before: 2,
            ..Outcome::default()
        }
    );
    assert_eq!(
        world.redrive(Some("Unhandled"), false).await.0,
        Outcome::default()
    );
    assert_eq!(world.records().await.len(), 4);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_sent_and_changes_nothing() {
    let world = World::new();
    letter(&world, 0, "RetriesExhausted", 0).await;

    for _ in 0..2 {
        let (outcome, told) = world.redrive(None, true).await;
        assert_eq!(
            outcome,
            Outcome {
                sent: 1,
                ..Outcome::default()
            }
        );
        assert_eq!(told, [(0, Action::WouldSend)]);
    }

    assert_eq!(world.records().await, []);
    assert_eq!(world.redrive(None, false).await.0.sent, 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_left_and_told_by_each_run() {
    let world = World::new();

    let mut too_large = original(0, "");
    too_large["value"] = Value::Null;
    let mut foreign = original(1, "{}");
    foreign["topic"] = "orders".into();

    world
        .dead(0, &envelope("RetriesExhausted", &too_large))
        .await;
    world.dead(0, "nonsense").await;
    world.dead(0, &envelope("RetriesExhausted", &foreign)).await;
    letter(&world, 0, "RetriesExhausted", 2).await;

    let left = [
        (0, Action::Left(Unsendable::NoValue)),
        (1, Action::Left(Unsendable::NotALetter)),
        (2, Action::Left(Unsendable::OtherTopic)),
    ];

    for (sent, sent_before) in [(1, 0), (0, 1)] {
        let (outcome, told) = world.redrive(None, false).await;
        assert_eq!(
            outcome,
            Outcome {
                sent,
                sent_before,
                left: 3,
                passed_over: 0,
                more: false,
            }
        );
        assert_eq!(told[..3], left);
    }
    assert_eq!(world.records().await.len(), 1);
}

#[tokio::test]
async fn a_value_that_does_not_parse_is_sent_as_it_is() {
    let world = World::new();
    world
        .dead(
            0,
            &envelope("RetriesExhausted", &original(0, "{\"symbol\":")),
        )
        .await;

    world.redrive(None, false).await;
    assert_eq!(world.records().await[0].value, b"{\"symbol\":");
}

#[tokio::test]
async fn a_record_is_sent_back_three_times_at_most_as_its_header_counts() {
    let world = World::new();
    for (offset, header) in [
        (0, "[]"),
        (1, r#"[{"redriven":[50]}]"#),
        (2, r#"[{"redriven":[51]}]"#),
    ] {
        let mut record = original(offset, &bare(1, "150.25"));
        record["headers"] = serde_json::from_str(header).unwrap();
        world.dead(0, &envelope("RetriesExhausted", &record)).await;
    }

    let (outcome, told) = world.redrive(None, false).await;
    assert_eq!((outcome.sent, outcome.left), (2, 1));
    assert!(
        told.contains(&(2, Action::Left(Unsendable::TooOften))),
        "{told:?}"
    );

    let mut sent: Vec<_> = world
        .records()
        .await
        .into_iter()
        .map(|record| record.redriven)
        .collect();
    sent.sort();
    assert_eq!(sent, [Some("1".to_owned()), Some("3".to_owned())]);
}

#[tokio::test]
async fn a_function_sends_as_many_as_it_is_asked_for_and_is_told_that_there_are_more() {
    let world = World::new();
    world.dead(0, "nonsense").await;
    for offset in 0..3 {
        letter(&world, 1, "RetriesExhausted", offset).await;
    }

    let select = |dry_run| Selection {
        reason: None,
        dry_run,
        limit: 2,
    };
    let looked = world.letters().redrive(&select(true)).await.unwrap();
    assert_eq!((looked.letters.len(), looked.outcome.more), (3, true));
    assert_eq!(world.records().await, []);

    for (sent, more) in [(2, true), (1, false), (0, false)] {
        let redriven = world.letters().redrive(&select(false)).await.unwrap();
        assert_eq!((redriven.outcome.sent, redriven.outcome.more), (sent, more));
        assert_eq!(redriven.outcome.left, 1);
    }
    assert_eq!(world.records().await.len(), 3);
}
