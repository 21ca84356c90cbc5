//! The time of a quote whose provider gives none.

use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

#[tokio::test]
async fn a_quote_without_a_time_has_that_of_asking_and_not_of_the_answer() {
    const LATENCY: Duration = Duration::from_millis(500);
    let pairs = r#"{"error":[],"result":{"SOLUSD":{"c":["7","1"]}}}"#;
    let prices = r#"[{"symbol":"SOLUSD","price":"7"}]"#;
    // The latest day that has begun anywhere: New York has not closed on it.
    let day = (Utc::now() + Duration::from_hours(13)).date_naive();
    let day = format!(r#"{{"Global Quote":{{"05. price":"7","07. latest trading day":"{day}"}}}}"#);

    for (name, body) in [
        (providers::KRAKEN, pairs),
        (providers::BINANCE, prices),
        (providers::ALPHA_VANTAGE, &day),
    ] {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(
                ResponseTemplate::new(200)
                    .set_body_raw(body, "application/json")
                    .set_delay(LATENCY),
            )
            .mount(&server)
            .await;
        let mut all = all(&server.uri(), REQUEST_TIMEOUT).into_iter();
        let provider = all.find(|provider| provider.name().as_str() == name);
        let provider = provider.unwrap();

        let before = to_microseconds(Utc::now());
        let answer = provider.fetch(&symbols(&["SOLUSD"]), before).await.unwrap();

        let asked = answer.quotes[0].1.as_ref().unwrap().timestamp;
        assert!(asked >= before, "{name}: {asked} {before}");
        assert!(asked + LATENCY <= answer.received_at, "{name}: {asked}");
    }
}
