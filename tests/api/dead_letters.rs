//! `GET /dead-letters` and `POST /dead-letters/redrive`.

use serde_json::{Value, json};
use shared::dead_letters::letter::{Letter, Unsendable};
use shared::dead_letters::port::{Redriven, Seen, Selection};
use shared::dead_letters::{Action, Outcome};

use crate::fixture::Api;

fn letters() -> Redriven {
    let letter = Letter {
        condition: "RetriesExhausted".to_owned(),
        function_error: None,
        topic: "price-events".to_owned(),
        partition: 3,
        offset: 41,
        timestamp: 0,
        key: Some(b"AAPL".to_vec()),
        value: [b"\xff".as_slice(), &[b'x'; 2_000]].concat(),
        redriven: 1,
    };
    let seen = |offset, letter, action| Seen {
        partition: 0,
        offset,
        letter,
        action,
    };
    Redriven {
        outcome: Outcome {
            sent: 1,
            left: 1,
            more: true,
            ..Outcome::default()
        },
        letters: vec![
            seen(7, Some(letter), Action::WouldSend),
            seen(8, None, Action::Left(Unsendable::NotALetter)),
        ],
    }
}

#[tokio::test]
async fn dead_letters_are_listed_with_their_record_and_sent_back_on_request() {
    let api = Api::start().await;
    api.log.set_letters(letters());

    let list = api
        .get("/dead-letters?reason=RetriesExhausted&limit=2")
        .await
        .json();
    assert_eq!(
        (&list["sent"], &list["left"], &list["more"]),
        (&json!(1), &json!(1), &json!(true))
    );
    let (first, second) = (&list["items"][0], &list["items"][1]);
    assert_eq!(
        (&first["record"]["key"], &first["redriven"]),
        (&json!("AAPL"), &json!(1))
    );
    assert_eq!(
        (&first["condition"], &first["problem"]),
        (&json!("RetriesExhausted"), &Value::Null)
    );
    let value = first["record"]["value"].as_str().expect("text");
    assert!(value.starts_with("\u{fffd}xxx") && value.len() < 1_010);
    assert_eq!(
        (&second["record"], &second["problem"]),
        (
            &Value::Null,
            &json!("not a dead letter of an event source mapping")
        )
    );

    for path in [
        "/dead-letters/redrive",
        "/dead-letters/redrive?dry_run=true&limit=1",
    ] {
        assert_eq!(api.send("POST", path, String::new()).await.status, 200);
    }
    let selection = |reason: Option<&str>, dry_run, limit| Selection {
        reason: reason.map(str::to_owned),
        dry_run,
        limit,
    };
    let expected = [
        selection(Some("RetriesExhausted"), true, 2),
        selection(None, false, 100),
        selection(None, true, 1),
    ];
    assert_eq!(api.log.selections(), expected);

    api.log.fail_next(1);
    let refused = api
        .send("POST", "/dead-letters/redrive", String::new())
        .await;
    refused.assert_unavailable("kafka-unavailable");
}
