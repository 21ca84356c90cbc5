//! `GET /rejected`, and sending rejected events to the topic again.

use serde_json::{Value, json};
use shared::price_log::Record;
use shared::repository::rejected_events::{self, RejectedEvent};

use crate::fixture::{Answered, Api, at};

/// A record that was refused with this reason; later offsets were refused later.
fn refused(offset: i64, value: &[u8], reason: &str) -> RejectedEvent {
    RejectedEvent {
        topic: "price-events".to_owned(),
        partition: 3,
        offset,
        timestamp: at(offset),
        key: Some(b"AAPL".to_vec()),
        value: Some(value.to_vec()),
        reason: reason.to_owned(),
    }
}

async fn quarantine(api: &Api, events: &[RejectedEvent]) {
    let mut connection = api.pool.acquire().await.expect("a connection");
    for event in events {
        rejected_events::insert(&mut connection, std::slice::from_ref(event))
            .await
            .expect("a stored event");
    }
}

async fn post(api: &Api, path: &str) -> Answered {
    api.send("POST", path, String::new()).await
}

/// The id of the first event that is listed.
async fn first_id(api: &Api) -> String {
    let page = api.get("/rejected").await;
    page.each("id")[0].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn rejected_events_are_listed_with_place_reason_and_readable_value_page_by_page() {
    let api = Api::start().await;
    let binary = [b"\xffhello ".as_slice(), "ä".repeat(2_000).as_bytes()].concat();
    quarantine(
        &api,
        &[
            refused(1, b"nonsense", "the value is not a price event: x"),
            refused(2, b"{}", "price must be greater than zero"),
            refused(3, &binary, "price must be greater than zero"),
            RejectedEvent {
                value: None,
                key: None,
                ..refused(4, b"", "the record has no value")
            },
        ],
    )
    .await;

    let mut offsets = Vec::new();
    let mut path = "/rejected?limit=3".to_owned();
    loop {
        let page = api.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        offsets.extend(page.each("offset"));
        match page.json()["next_cursor"].as_str() {
            Some(cursor) => path = format!("/rejected?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(offsets, [4, 3, 2, 1]);

    let page = api.get("/rejected?reason=price").await.json();
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), 2);
    assert_eq!(
        (
            &items[1]["topic"],
            &items[1]["partition"],
            &items[1]["offset"],
            &items[1]["key"]
        ),
        (&json!("price-events"), &json!(3), &json!(2), &json!("AAPL"))
    );
    assert_eq!(items[1]["value"], "{}");
    assert_eq!(
        (&items[1]["redriven"], &items[1]["redriven_at"]),
        (&json!(0), &Value::Null)
    );

    let shown = items[0]["value"].as_str().expect("text");
    assert!(
        shown.starts_with("\u{fffd}hello ää") && shown.len() < 1_010,
        "{shown}"
    );
    assert_eq!(items[0]["value_bytes"], 4_007);
    let tombstone = api.get("/rejected?limit=1").await.json()["items"][0].clone();
    assert_eq!(
        (&tombstone["key"], &tombstone["value"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn one_is_sent_again_with_its_key_three_times_at_most() {
    let api = Api::start().await;
    let good = br#"{"symbol":"AAPL","price":1.50,"timestamp":"2023-11-14T22:00:00Z","source":"made","id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","polled_at":"2023-11-14T22:00:01Z"}"#;
    quarantine(&api, &[refused(1, good, "price was refused by mistake")]).await;
    let path = format!("/rejected/{}/redrive", first_id(&api).await);

    let dry = post(&api, &format!("{path}?dry_run=true")).await.json();
    assert_eq!(
        (&dry["sent"], &dry["redriven"], &dry["verdict"]),
        (&json!(false), &json!(0), &Value::Null)
    );
    assert!(api.log.records().is_empty());

    api.log.fail_next(1);
    post(&api, &path)
        .await
        .assert_unavailable("kafka-unavailable");

    for times in 1..=3 {
        let answer = post(&api, &path).await.json();
        assert_eq!(
            (&answer["sent"], &answer["redriven"]),
            (&json!(true), &json!(times))
        );
    }
    let record = Record {
        key: Some(b"AAPL".to_vec()),
        value: good.to_vec(),
    };
    assert_eq!(api.log.records(), vec![record; 3]);

    let often = post(&api, &path).await;
    assert_eq!(
        (often.status, &often.json()["type"]),
        (409, &json!("/docs#redriven-too-often"))
    );

    // The same content, refused once more at another place, is guarded as well.
    quarantine(&api, &[refused(9, good, "price was refused by mistake")]).await;
    let again = format!("/rejected/{}/redrive", first_id(&api).await);
    assert_ne!(again, path);
    assert_eq!(post(&api, &again).await.status, 409);
}

#[tokio::test]
async fn an_event_without_an_identity_gets_the_one_that_it_would_have_had_and_is_guarded_by_it() {
    let api = Api::start().await;
    let bare =
        br#"{"symbol":"AAPL","price":1.5,"timestamp":"2023-11-14T22:00:00Z","source":"made"}"#;
    quarantine(&api, &[refused(1, bare, "price was refused by mistake")]).await;

    let answer = post(&api, &format!("/rejected/{}/redrive", first_id(&api).await)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let sent = api.log.records()[0].value.clone();
    let event: Value = serde_json::from_slice(&sent).expect("an event");
    assert_eq!(event["polled_at"], "2023-11-14T22:13:21Z");
    assert!(event["id"].is_string());

    // It is refused again, and comes back with that identity.
    quarantine(&api, &[refused(2, &sent, "price was refused by mistake")]).await;
    for expected in [200, 200, 409] {
        let path = format!("/rejected/{}/redrive", first_id(&api).await);
        assert_eq!(post(&api, &path).await.status, expected);
    }
}

#[tokio::test]
async fn all_of_a_reason_are_sent_once_since_they_were_refused() {
    let api = Api::start().await;
    let events: Vec<_> = (0..5)
        .map(|offset| {
            refused(
                offset,
                format!("nonsense {offset}").as_bytes(),
                "price is no price",
            )
        })
        .collect();
    quarantine(&api, &events).await;
    let others = [
        refused(10, b"other", "symbol is too long"),
        RejectedEvent {
            value: None,
            ..refused(11, b"", "price of a tombstone")
        },
        RejectedEvent {
            topic: "older-events".to_owned(),
            ..refused(12, b"older", "price is no price")
        },
    ];
    quarantine(&api, &others).await;

    let path = "/rejected/redrive?reason=price&limit=3";
    let dry = post(&api, &format!("{path}&dry_run=true")).await.json();
    assert_eq!(dry, json!({"sent": 3, "refused_again": 3, "more": true}));
    assert!(api.log.records().is_empty());

    assert_eq!(post(&api, path).await.json()["more"], true);
    assert_eq!(
        post(&api, path).await.json(),
        json!({"sent": 2, "refused_again": 2, "more": false})
    );
    assert_eq!(post(&api, path).await.json()["sent"], 0);

    let sent: Vec<_> = api
        .log
        .records()
        .into_iter()
        .map(|record| record.value)
        .collect();
    let expected: Vec<_> = (0..5)
        .map(|offset| format!("nonsense {offset}").into_bytes())
        .collect();
    assert_eq!(sent, expected);

    // One that was refused again is sent again.
    quarantine(&api, &[refused(20, b"nonsense 0", "price is no price")]).await;
    assert_eq!(post(&api, path).await.json()["sent"], 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_why() {
    let api = Api::start().await;
    let tombstone = RejectedEvent {
        value: None,
        ..refused(1, b"", "the record has no value")
    };
    quarantine(&api, &[tombstone]).await;
    let path = format!("/rejected/{}/redrive", first_id(&api).await);
    let refused = post(&api, &path).await;
    assert_eq!(
        (refused.status, &refused.json()["type"]),
        (409, &json!("/docs#not-redrivable"))
    );

    for id in ["nonsense", "AAAA", &first_id(&api).await.replace('M', "N")] {
        let missing = post(&api, &format!("/rejected/{id}/redrive")).await;
        assert_eq!(missing.status, 404, "{id}");
        assert_eq!(missing.json()["type"], "/docs#no-rejected-event");
    }

    for (path, place) in [
        (format!("{path}?dry_run=yes"), "query.dry_run"),
        ("/rejected/redrive?limit=101".to_owned(), "query.limit"),
        ("/rejected/redrive?reason=".to_owned(), "query.reason"),
        ("/rejected/redrive?colour=red".to_owned(), "query.colour"),
    ] {
        let answer = post(&api, &path).await;
        assert_eq!(answer.status, 422, "{path}");
        assert_eq!(answer.json()["errors"][0]["location"], place);
    }
}
