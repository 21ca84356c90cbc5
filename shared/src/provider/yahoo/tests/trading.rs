use super::*;
use crate::market::Trading;

/// The `meta` of a symbol with this trading period.
fn meta_of(symbol: &str, exchange: &str, period: &str) -> String {
    format!(r#"{{"symbol":"{symbol}",{KO},"exchangeName":"{exchange}"{period}}}"#)
}

/// A day's periods as Yahoo writes them.
fn day(regular: &str) -> String {
    format!(
        r#","currentTradingPeriod":{{"pre":{{"timezone":"EST","start":1767603600,"end":1767623400,"gmtoffset":-18000}},
            "regular":{regular},"post":{{"timezone":"EST","start":1767646800,"end":1767661200,"gmtoffset":-18000}}}}"#
    )
}

const REGULAR: &str =
    r#"{"timezone":"EST","end":1767646800,"start":1767623400,"gmtoffset":-18000}"#;

async fn told(symbols: &[&str], body: String) -> Vec<(String, Trading)> {
    let yahoo = client_of(&answering(json_body(body)).await);
    let answer = ask(&yahoo, symbols).await.unwrap();

    let symbols: Vec<Symbol> = symbols.iter().map(|name| name.parse().unwrap()).collect();
    let told = yahoo.trading(&symbols, &answer).await;
    told.into_iter()
        .map(|(symbol, trading)| (symbol.to_string(), trading))
        .collect()
}

#[tokio::test]
async fn a_chart_tells_the_exchange_and_its_regular_period() {
    let body = chart(&meta_of("KO", "NYQ", &day(REGULAR)));
    let at = |text: &str| text.parse().unwrap();
    let period =
        crate::market::TradingPeriod::new(at("2026-01-05T14:30:00Z"), at("2026-01-05T21:00:00Z"));

    let trading = Trading {
        exchange: Some("NYQ".to_owned()),
        period,
    };
    assert_eq!(told(&["KO"], body).await, [("KO".to_owned(), trading)]);
}

#[tokio::test]
async fn a_sparkline_without_a_period_tells_the_exchange() {
    let body = spark(&[
        ("KO", meta_of("KO", "NYQ", "")),
        ("PEP", meta_of("PEP", "NMS", "")),
    ]);

    let exchanges: Vec<_> = told(&["KO", "PEP"], body)
        .await
        .into_iter()
        .map(|(symbol, trading)| (symbol, trading.exchange, trading.period))
        .collect();
    let of = |symbol: &str, exchange: &str| (symbol.to_owned(), Some(exchange.to_owned()), None);
    assert_eq!(exchanges, [of("KO", "NYQ"), of("PEP", "NMS")]);
}

#[tokio::test]
async fn a_period_that_cannot_be_read_costs_nobody_the_quote() {
    let long = "9".repeat(30);
    let backwards = r#"{"start":1767646800,"end":1767623400}"#;
    let far = format!(r#"{{"start":{long},"end":{long}}}"#);

    for period in ["null", "[]", "{}", "7", backwards, &far] {
        let body = chart(&meta_of("KO", "NYQ", &day(period)));
        let trading = told(&["KO"], body).await.remove(0).1;
        assert_eq!(trading.period, None, "{period}");
    }
}
