use super::*;

const STEP: Duration = Duration::from_secs(10);

async fn fetch(symbols: &[&str], at: &str) -> Answer {
    let symbols: Vec<Symbol> = symbols
        .iter()
        .map(|symbol| symbol.parse().unwrap())
        .collect();
    Replay::new(STEP)
        .fetch(&symbols, at.parse().unwrap())
        .await
        .unwrap()
}

async fn quote(symbol: &str, at: &str) -> Quote {
    fetch(&[symbol], at).await.quotes.remove(0).1.unwrap()
}

#[tokio::test]
async fn a_quote_has_the_start_of_its_step_as_its_time() {
    let quote = quote("AAPL", "2026-01-05T10:30:19.999Z").await;

    assert_eq!(
        quote.timestamp,
        "2026-01-05T10:30:10Z".parse::<Timestamp>().unwrap()
    );
    assert_eq!(quote.currency.unwrap().as_str(), "USD");
}

#[tokio::test]
async fn the_price_is_the_same_throughout_a_step_and_for_every_instance() {
    let first = quote("IBM", "2026-01-05T10:30:10Z").await;

    assert_eq!(quote("IBM", "2026-01-05T10:30:19.999999Z").await, first);
    assert_ne!(
        quote("IBM", "2026-01-05T10:30:20Z").await.timestamp,
        first.timestamp
    );
}

#[tokio::test]
async fn the_first_recorded_price_plays_at_step_zero_and_again_after_the_last() {
    let first = quote("AAPL", "1970-01-01T00:00:00Z").await;
    assert_eq!(first.price.to_string(), "533.96");
    assert_eq!(
        quote("AAPL", "1970-01-01T01:05:20Z").await.price,
        first.price,
        "step 392"
    );

    let last = quote("AAPL", "1969-12-31T23:59:59Z").await;
    assert_eq!(
        last.price,
        quote("AAPL", "1970-01-01T01:05:19Z").await.price,
        "steps -1 and 391"
    );
}

#[tokio::test]
async fn the_body_tells_when_the_prices_were_really_recorded() {
    let answer = fetch(&["AAPL", "FB"], "1970-01-01T00:00:05Z").await;
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();

    assert_eq!(body["rows"][1]["symbol"], "FB");
    assert_eq!(body["rows"][1]["recorded_at"], "2012-05-18T13:30:00Z");
    assert_eq!(
        (&body["step"], &body["step_seconds"]),
        (&0.into(), &10.into())
    );
    assert!(answer.body.contains(r#""price":42.05}"#));
}

#[tokio::test]
async fn an_unknown_symbol_is_told_beside_the_known_ones_in_the_order_asked() {
    let answer = fetch(&["NOPE", "MSFT"], "2026-01-05T10:30:10Z").await;
    let [(_, nope), (msft, found)] = &answer.quotes[..] else {
        panic!("{:?}", answer.quotes)
    };

    assert_eq!(
        nope.as_ref().unwrap_err().to_string(),
        "replay does not know the symbol NOPE"
    );
    assert_eq!((msft.as_str(), found.is_ok()), ("MSFT", true));
}

#[tokio::test]
async fn all_symbols_of_the_largest_job_are_played_in_one_request() {
    let replay = Replay::new(STEP);
    assert_eq!(replay.max_symbols(), 500);

    let symbols: Vec<Symbol> = (0..500)
        .map(|number| format!("S{number}").parse().unwrap())
        .collect();

    assert_eq!(
        replay
            .fetch(&symbols, Utc::now())
            .await
            .unwrap()
            .quotes
            .len(),
        500
    );
}

#[tokio::test]
async fn no_moment_makes_it_panic() {
    for at in [Timestamp::MIN_UTC, Timestamp::MAX_UTC] {
        for step in [Duration::ZERO, STEP, Duration::MAX] {
            let answer = Replay::new(step)
                .fetch(&["AAPL".parse().unwrap()], at)
                .await;
            assert_eq!(answer.unwrap().quotes.len(), 1);
        }
    }
}
