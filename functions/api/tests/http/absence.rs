//! With Postgres unavailable, requests get a 503 with a time for the next attempt. No provider is
//! asked, nothing is published, and no answer contains the cause.

use axum::http::StatusCode;

use crate::fixture::Fixture;

#[tokio::test]
async fn whatever_needs_postgres_is_a_503_that_says_when_to_try_again() {
    let api = Fixture::new();
    for path in [
        "/prices/latest?symbol=AAPL",
        "/prices/latest?symbols=AAPL,MSFT&max_age=0",
        "/prices/average?symbol=AAPL",
        "/prices/history?symbol=AAPL",
        "/symbols",
        "/prices/poll",
        "/prices/poll/6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
    ] {
        let answered = api.get(path).await;
        assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answered.header("retry-after"), "5");
        assert!(answered.places().is_empty());
    }

    let created = api.poll(r#"{"symbols":["AAPL"],"interval":60}"#).await;
    assert_eq!(created.status, StatusCode::SERVICE_UNAVAILABLE);

    assert_eq!((api.asked(), api.log.events().len()), (0, 0));
}

#[tokio::test]
async fn health_names_what_is_away_and_asks_no_provider_whose_budget_is_unknown() {
    let api = Fixture::new();
    for _ in 0..3 {
        let answered = api.get("/health").await;
        assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE);

        let health = answered.json();
        assert_eq!(health["status"], "unavailable");
        assert_eq!(health["checks"]["postgres"]["status"], "unavailable");
        assert_eq!(health["checks"]["kafka"]["status"], "ok");
        let providers = &health["checks"]["providers"];
        assert_eq!(providers["yahoo"]["status"], "degraded");
        assert_eq!(providers["replay"]["status"], "ok");
    }

    assert_eq!(api.asked(), 0);
}

#[tokio::test]
async fn no_answer_tells_credentials_addresses_or_sql() {
    let api = Fixture::new();
    for path in ["/symbols", "/health", "/prices/latest?symbol=AAPL"] {
        let body = String::from_utf8(api.get(path).await.body).unwrap();
        for secret in ["secret", "nobody", "127.0.0.1", "select", "sqlx"] {
            assert!(!body.contains(secret), "{path}: {body}");
        }
    }
}
