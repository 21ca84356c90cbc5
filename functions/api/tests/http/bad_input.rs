//! A bad request is answered with every fault and its place, before a provider is asked or anything
//! is stored.

use axum::http::StatusCode;
use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn all_faults_of_a_query_are_named_with_their_places() {
    let answered = Fixture::new()
        .get("/prices/latest?symbol=A%20B&max_age=-1&provider=&colour=red")
        .await;

    assert_eq!(answered.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        answered.places(),
        [
            "query.colour",
            "query.symbol",
            "query.max_age",
            "query.provider"
        ]
    );
}

/// Malformed queries, and the places of their faults.
const MALFORMED: &[(&str, &str)] = &[
    ("/prices/latest", "query.symbol"),
    ("/prices/latest?symbol=", "query.symbol"),
    ("/prices/latest?symbol=A&symbol=A", "query.symbol"),
    ("/prices/latest?symbol=%FF", "query.symbol"),
    ("/prices/latest?symbol=A&symbols=B", "query.symbols"),
    ("/prices/latest?symbols=A,B,A", "query.symbols[2]"),
    ("/prices/latest?symbols=A,,B", "query.symbols[1]"),
    ("/prices/latest?symbol=A&max_age=1.5", "query.max_age"),
    ("/prices/latest?symbol=A&max_age=86401", "query.max_age"),
    ("/prices/average?symbol=A&window=1", "query.window"),
    ("/prices/average?symbol=A&window=201", "query.window"),
    ("/prices/average?symbol=A&kind=wma", "query.kind"),
    ("/prices/average", "query.symbol"),
    ("/prices/candles?symbol=A", "query.interval"),
    ("/prices/candles?interval=1h", "query.symbol"),
    ("/prices/candles?symbol=A&interval=2h", "query.interval"),
    ("/prices/candles?symbol=A&interval=1d&tz=utc", "query.tz"),
    (
        "/prices/candles?symbol=A&interval=1d&limit=0",
        "query.limit",
    ),
    (
        "/prices/candles?symbol=A&interval=1d&from=2024-03-20T10:30:00Z&to=2024-03-20T10:30:00Z",
        "query.to",
    ),
    ("/prices/history?symbol=A&limit=0", "query.limit"),
    ("/prices/history?symbol=A&limit=1001", "query.limit"),
    ("/prices/history?symbol=A&from=2024-03-20", "query.from"),
    (
        "/prices/history?symbol=A&to=2024-03-20T10:30:00",
        "query.to",
    ),
    (
        "/prices/history?symbol=A&from=2024-03-20T10:30:00Z&to=2024-03-20T10:30:00Z",
        "query.to",
    ),
    ("/prices/history?symbol=A&cursor=nonsense", "query.cursor"),
    ("/symbols?cursor=%00", "query.cursor"),
    ("/symbols?limit=0", "query.limit"),
    ("/symbols?limit=5001", "query.limit"),
    ("/symbols?prefix=", "query.prefix"),
    ("/symbols?prefix=A%20B", "query.prefix"),
    ("/symbols?prefix=A%00", "query.prefix"),
    ("/symbols?prefix=%C3%28", "query.prefix"),
    (
        "/symbols?prefix=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "query.prefix",
    ),
    ("/symbols?prefix=A&prefix=A", "query.prefix"),
    ("/symbols?provider=", "query.provider"),
    ("/symbols?provider=a%20b", "query.provider"),
    ("/symbols?symbol=AAPL", "query.symbol"),
    ("/prices/poll?limit=many", "query.limit"),
    ("/prices/poll?cursor=AAAA", "query.cursor"),
    ("/prices/poll/42", "path.job_id"),
];

#[tokio::test]
async fn each_malformed_query_is_a_fault_in_its_place() {
    let api = Fixture::new();
    for &(path, place) in MALFORMED {
        let answered = api.get(path).await;
        assert_eq!(answered.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(answered.places(), [place], "{path}");
    }

    let too_many = vec!["A"; 101].join(",");
    assert_eq!(
        api.get(&format!("/prices/latest?symbols={too_many}"))
            .await
            .places(),
        ["query.symbols"]
    );

    assert_eq!(api.asked(), 0);
}

#[tokio::test]
async fn each_malformed_query_of_changes_and_rejected_events_is_a_fault_in_its_place() {
    let api = Fixture::new();
    for (path, place) in [
        ("/prices/changes", "query.symbols"),
        ("/prices/changes?symbols=", "query.symbols[0]"),
        ("/prices/changes?symbols=A,B,A", "query.symbols[2]"),
        ("/prices/changes?symbols=A&after=AAAA", "query.after"),
        ("/prices/changes?symbols=A&after=Now", "query.after"),
        ("/prices/changes?symbols=A&wait=21", "query.wait"),
        ("/prices/changes?symbols=A&wait=-1", "query.wait"),
        ("/prices/changes?symbols=A&limit=1001", "query.limit"),
        ("/prices/changes?symbol=A&symbols=A", "query.symbol"),
        ("/rejected?reason=", "query.reason"),
        ("/rejected?reason=%00", "query.reason"),
        ("/rejected?limit=401", "query.limit"),
        ("/rejected?cursor=AAAA", "query.cursor"),
    ] {
        let answered = api.get(path).await;
        assert_eq!(answered.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(answered.places(), [place], "{path}");
    }
}

#[tokio::test]
async fn an_unknown_provider_is_a_400_that_lists_the_known_ones() {
    let api = Fixture::new();
    let asked = api
        .get("/prices/latest?symbol=AAPL&provider=bloomberg")
        .await;
    let polled = api
        .poll(r#"{"symbols":["AAPL"],"provider":"bloomberg"}"#)
        .await;

    for answered in [asked, polled] {
        assert_eq!(answered.status, StatusCode::BAD_REQUEST);
        let detail = answered.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains("bloomberg") && detail.contains("yahoo, replay"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn an_unknown_provider_among_other_faults_is_one_of_them() {
    let answered = Fixture::new()
        .get("/prices/latest?provider=bloomberg")
        .await;

    assert_eq!(answered.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answered.places(), ["query.symbol", "query.provider"]);
}

#[tokio::test]
async fn broken_json_is_a_400() {
    let api = Fixture::new();
    for body in [
        "",
        "{",
        "{\"symbols\":[}",
        "nonsense",
        "\u{feff}{}",
        &"[".repeat(10_000),
    ] {
        let answered = api.poll(body).await;
        assert_eq!(answered.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answered.json()["type"], "/docs#broken-json");
    }
}

#[tokio::test]
async fn all_faults_of_a_body_are_named_with_their_places() {
    let body =
        json!({"symbols": ["AAPL", "aapl", "", 7], "interval": 0, "provider": 3, "colour": "red"});
    let answered = Fixture::new().poll(&body.to_string()).await;

    assert_eq!(answered.status, StatusCode::UNPROCESSABLE_ENTITY);

    let mut places = answered.places();
    places.sort();

    let expected = [
        "body.colour",
        "body.interval",
        "body.provider",
        "body.symbols[1]",
        "body.symbols[2]",
        "body.symbols[3]",
    ];
    assert_eq!(places, expected);
}

#[tokio::test]
async fn a_field_given_twice_is_a_fault_in_its_place() {
    for (field, body) in [
        ("symbols", r#"{"symbols": ["AAPL"], "symbols": ["MSFT"]}"#),
        (
            "interval",
            r#"{"symbols": ["AAPL"], "interval": 60, "\u0069nterval": 60}"#,
        ),
    ] {
        let answered = Fixture::new().poll(body).await;
        assert_eq!(answered.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");

        let expected = json!([{"location": format!("body.{field}"), "message": "is given twice"}]);
        assert_eq!(answered.json()["errors"], expected, "{body}");
    }
}

#[tokio::test]
async fn each_malformed_body_is_a_fault_in_its_place() {
    let api = Fixture::new();
    let many: Vec<String> = (0..5_001).map(|number| format!("S{number}")).collect();

    for (body, place) in [
        (json!([]), "body"),
        (json!("AAPL"), "body"),
        (json!({}), "body.symbols"),
        (json!({"symbols": []}), "body.symbols"),
        (json!({"symbols": "AAPL"}), "body.symbols"),
        (json!({"symbols": null}), "body.symbols"),
        (json!({"symbols": many}), "body.symbols"),
        (json!({"symbols": ["A B"]}), "body.symbols[0]"),
        (json!({"symbols": ["A"], "interval": -5}), "body.interval"),
        (json!({"symbols": ["A"], "interval": 1.5}), "body.interval"),
        (
            json!({"symbols": ["A"], "interval": 86_401}),
            "body.interval",
        ),
        (
            json!({"symbols": ["A"], "interval": u64::MAX}),
            "body.interval",
        ),
        (json!({"symbols": ["A"], "interval": "60"}), "body.interval"),
        (json!({"symbols": ["A"], "provider": ""}), "body.provider"),
        (json!({"symbols": ["A"], "intervall": 60}), "body.intervall"),
    ] {
        let answered = api.poll(&body.to_string()).await;
        assert_eq!(answered.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(answered.places(), [place], "{body}");
    }
}
