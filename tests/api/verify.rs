//! `POST /verify` and the command `verify`: a value that was changed in the database is named.

use std::process::Command;

use e2e::binaries;
use serde_json::{Value, json};
use shared::price_event::PriceEvent;
use shared::repository::verification::{Scope, verify};
use tokio::time::Instant;

use crate::fixture::{Answered, Api, at, event};

async fn post(api: &Api, query: &str) -> Answered {
    let path = format!("/verify{query}");
    let answer = api.send("POST", &path, String::new()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

/// An API with a few points of three series, late ones and two units among them.
async fn filled() -> Api {
    let api = Api::start().await;
    for seconds in [[0, 10, 20, 30, 40], [5, 15, 50, 60, 70]] {
        let mut events: Vec<PriceEvent> = Vec::new();
        for second in seconds {
            for symbol in ["AAPL", "MSFT", "IBM"] {
                let mut event = event(symbol, "quoter", &format!("1{second}.37"), second);
                if symbol == "IBM" && second > 20 {
                    event.currency = Some("GBp".parse().expect("a unit"));
                }
                events.push(event);
            }
        }
        api.store(&events).await;
    }
    api
}

async fn change(api: &Api, set: &'static str, second: i64) {
    let changed = sqlx::query(sqlx::AssertSqlSafe(format!(
        "update price_points p set {set} from series s
         where s.series_id = p.series_id and s.symbol = 'MSFT' and p.quoted_at = $1"
    )))
    .bind(at(second))
    .execute(&api.pool)
    .await
    .expect("a changed row");
    assert_eq!(changed.rows_affected(), 1);
}

fn time(second: i64) -> Value {
    serde_json::to_value(at(second)).expect("a time")
}

#[tokio::test]
async fn what_is_stored_is_proved_and_one_changed_row_is_named() {
    let api = filled().await;
    let all =
        json!({"series": 3, "points": 30, "unprovable": 0, "differences": [], "next_cursor": null});
    assert_eq!(post(&api, "").await.json(), all);

    change(&api, "moving_average = moving_average + 0.000000000001", 20).await;
    let found = post(&api, "").await.json();
    let differences = found["differences"].as_array().expect("differences");
    assert_eq!(differences.len(), 1, "{found}");
    let named = &differences[0];
    assert_eq!(
        (
            &named["symbol"],
            &named["provider"],
            &named["timestamp"],
            &named["value"]
        ),
        (
            &json!("MSFT"),
            &json!("quoter"),
            &time(20),
            &json!("moving_average")
        )
    );
    assert!(named["stored"].as_str() > named["expected"].as_str());
    assert_eq!(
        post(&api, "?symbol=AAPL").await.json()["differences"],
        json!([])
    );

    change(
        &api,
        "moving_average = moving_average - 0.000000000001, points = 2",
        20,
    )
    .await;
    let found = post(&api, "?symbol=MSFT&provider=quoter").await.json();
    assert_eq!(found["differences"][0]["value"], "points");
    assert_eq!(
        (&found["series"], &found["points"]),
        (&json!(1), &json!(10))
    );
}

#[tokio::test]
async fn a_changed_price_is_its_own_difference_and_that_of_the_four_after_it() {
    let api = filled().await;
    change(&api, "price = price + 1", 15).await;
    let found = post(&api, "").await.json();
    let times = found["differences"].as_array().expect("differences").iter();
    let times: Vec<Value> = times
        .map(|difference| difference["timestamp"].clone())
        .collect();
    assert_eq!(times, [15, 20, 30, 40, 50].map(time));

    // The newest point is kept twice.
    change(&api, "price = price - 1", 15).await;
    sqlx::query("update series set last_price = 7 where symbol = 'MSFT'")
        .execute(&api.pool)
        .await
        .expect("a changed row");
    let found = post(&api, "").await.json();
    assert_eq!(found["differences"][0]["value"], "newest_point", "{found}");
    assert_eq!(found["differences"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn after_retention_the_edge_is_counted_and_the_rest_is_proved() {
    let api = filled().await;
    for statement in [
        "delete from price_points where quoted_at < to_timestamp(1700000020)",
        "update retention set points_from = to_timestamp(1700000020)",
    ] {
        sqlx::query(statement)
            .execute(&api.pool)
            .await
            .expect("a drop");
    }
    let found = post(&api, "?symbol=AAPL").await.json();
    assert_eq!(found["differences"], json!([]));
    assert_eq!(
        (&found["points"], &found["unprovable"]),
        (&json!(6), &json!(4))
    );
}

#[tokio::test]
async fn a_verification_goes_on_where_the_last_one_ended() {
    let api = filled().await;
    change(&api, "price = price + 1", 70).await;

    // Each call has no time left after its first series.
    let (mut from, mut calls, mut points, mut differences) = (None, 0, 0, 0);
    loop {
        let verified = verify(&api.pool, &Scope::default(), from, Instant::now()).await;
        let verified = verified.expect("a verification");
        (calls, points) = (calls + 1, points + verified.points);
        differences += verified.differences.len();
        from = verified.next;
        if from.is_none() {
            break;
        }
    }
    // The average, and the newest point's.
    assert_eq!((calls, points, differences), (3, 30, 2));

    let refused = api.send("POST", "/verify?cursor=AAAA", String::new()).await;
    assert_eq!(refused.json()["errors"][0]["location"], "query.cursor");
    let unknown = api
        .send("POST", "/verify?provider=nobody", String::new())
        .await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn the_command_prints_each_difference_and_its_status_says_so() {
    let url = e2e::postgres::database_url().await.expect("a database");
    let api = Api::over(sqlx::PgPool::connect(&url).await.expect("a pool")).await;
    api.store(&[
        event("MSFT", "quoter", "10", 0),
        event("MSFT", "quoter", "11", 20),
    ])
    .await;

    let run = || {
        let mut command = Command::new(binaries::directory().expect("binaries").join("verify"));
        let output = command.env("DATABASE_URL", &url).output().expect("an end");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        (output.status.code(), lines)
    };

    let proved =
        json!({"event": "verified", "series": 1, "points": 2, "unprovable": 0, "differences": 0});
    assert_eq!(run(), (Some(0), vec![proved]));

    change(&api, "moving_average = 3", 0).await;
    let (status, lines) = run();
    assert_eq!(
        (status, &lines[0]["event"], &lines[0]["stored"]),
        (Some(3), &json!("difference"), &json!("3"))
    );
    assert_eq!(lines[1]["differences"], 1);
}
