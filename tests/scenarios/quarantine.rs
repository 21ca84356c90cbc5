//! Bad records among good ones.

use std::time::Duration;

use e2e::stack::Stack;
use e2e::waiting::until;

fn event(price: &str, second: u32) -> Vec<u8> {
    let event = format!(
        r#"{{"symbol":"ACME","price":{price},"timestamp":"2024-03-20T10:30:{second:02}Z","source":"elsewhere"}}"#
    );
    event.into_bytes()
}

#[tokio::test]
async fn a_bad_record_is_quarantined_while_its_neighbours_become_points() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();

    let producer = stack.producer().unwrap();

    producer.send("ACME", &event("1.5", 1)).await.unwrap();
    let (partition, offset) = producer
        .send("ACME", b"{\"symbol\":\"ACME\"}")
        .await
        .unwrap();
    producer.send("ACME", &event("-3", 2)).await.unwrap();
    producer.send("ACME", &event("2.5", 3)).await.unwrap();

    let items = until("both points", Duration::from_secs(20), async || {
        let (_, history) = stack
            .get("/prices/history?symbol=ACME&provider=elsewhere")
            .await;
        history["items"]
            .as_array()
            .filter(|items| items.len() == 2)
            .cloned()
    })
    .await;
    assert_eq!(
        (
            &items[0]["price"].to_string(),
            &items[0]["moving_average"].to_string()
        ),
        (&"2.5".into(), &"2".into())
    );

    let database = stack.database().unwrap();
    let rejected: Vec<(i32, i64, Vec<u8>, String)> = sqlx::query_as(
        "select partition, record_offset, value, reason from rejected_events order by record_offset",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    assert_eq!(rejected.len(), 2);
    assert_eq!(
        (rejected[0].0, rejected[0].1, rejected[0].2.as_slice()),
        (partition, offset, b"{\"symbol\":\"ACME\"}".as_slice())
    );
    assert!(rejected[0].3.contains("missing field"), "{}", rejected[0].3);
    assert_eq!(rejected[1].3, "price is not greater than zero");
}
