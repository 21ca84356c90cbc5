use serde_json::json;
use wiremock::matchers::{any, header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use std::time::Duration;

use chrono::Utc;

use super::*;
use crate::market::{Quote, Timestamp, to_microseconds};
use crate::provider::{Answer, LimitScope, Provider, ProviderError, REQUEST_TIMEOUT, Refusal};

mod entries;
mod failures;
mod mutations;
mod trading;
mod unreadable;

const USER_AGENT: &str = "Mozilla/5.0 (compatible; test/1.0)";
const CHART_META: &str = r#""exchangeName":"NYQ","instrumentType":"EQUITY","firstTradeDate":-252460800,
    "gmtoffset":-18000,"hasPrePostMarketData":true,"priceHint":2,"fulldayPrice":1.5,"currentTradingPeriod":null"#;

/// The `meta` of one symbol. `quote` contains the fields under test, as text so that numbers keep
/// their digits.
fn meta(symbol: &str, quote: &str) -> String {
    format!(r#"{{"symbol":"{symbol}",{quote},{CHART_META}}}"#)
}

/// A chart as on a trading day: with gaps in its series, and with prices rounded to floats.
fn chart(meta: &str) -> String {
    format!(
        r#"{{"chart":{{"result":[{{"meta":{meta},"timestamp":[1767623400,1767623700],"indicators":{{"quote":[
            {{"open":[71.0999984741211,null],"close":[71.12000274658203,null],"volume":[900,null]}}]}}}}],
            "error":null}}}}"#
    )
}

fn spark(metas: &[(&str, String)]) -> String {
    let entry = |(symbol, meta): &(&str, String)| {
        format!(
            r#"{{"symbol":"{symbol}","response":[{{"meta":{meta},"indicators":{{"quote":[{{}}]}}}}]}}"#
        )
    };

    let entries: Vec<String> = metas.iter().map(entry).collect();
    format!(
        r#"{{"spark":{{"result":[{}],"error":null}}}}"#,
        entries.join(",")
    )
}

const KO: &str =
    r#""currency":"USD","regularMarketPrice":71.123456789012345,"regularMarketTime":1767623701"#;

fn json_body(body: impl Into<String>) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.into(), "application/json")
}

/// A server that gives every request the same answer.
async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// Yahoo at this address.
fn yahoo_at(base_url: &str) -> Web<Yahoo> {
    yahoo_within(base_url, REQUEST_TIMEOUT)
}

/// The same, with another limit on each request's time.
fn yahoo_within(base_url: &str, timeout: Duration) -> Web<Yahoo> {
    let source = Source {
        base_url: base_url.to_owned(),
        key: None,
        needs: None,
        limits: LIMITS,
    };
    let http = Arc::new(HttpClient::with_timeout(None, timeout));
    Yahoo::provider(USER_AGENT, source, http)
}

fn client_of(server: &MockServer) -> Web<Yahoo> {
    yahoo_at(&server.uri())
}

async fn ask(yahoo: &Web<Yahoo>, symbols: &[&str]) -> Result<Answer, ProviderError> {
    let symbols: Vec<Symbol> = symbols
        .iter()
        .map(|symbol| symbol.parse().unwrap())
        .collect();
    yahoo.fetch(&symbols, Utc::now()).await
}

/// The quote of one symbol in the body, as `price currency`, or the text of its error.
async fn one(symbol: &str, body: String) -> String {
    let server = answering(json_body(body)).await;

    match ask(&client_of(&server), &[symbol])
        .await
        .unwrap()
        .quotes
        .remove(0)
        .1
    {
        Ok(Quote {
            price, currency, ..
        }) => {
            format!("{price} {}", currency.map_or("?".to_owned(), String::from))
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn one_symbol_is_asked_for_by_its_chart_and_keeps_every_digit() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/v8/finance/chart/KO"))
        .and(query_param("range", "1d"))
        .and(query_param_is_missing("symbols"))
        .and(header("user-agent", USER_AGENT))
        .respond_with(json_body(chart(&meta("KO", KO))))
        .expect(1)
        .mount(&server)
        .await;

    let before = to_microseconds(Utc::now());
    let answer = ask(&client_of(&server), &["KO"]).await.unwrap();

    let quote = answer.quotes[0].1.clone().unwrap();
    assert_eq!(quote.price.to_string(), "71.123456789012345");
    assert_eq!(
        quote.timestamp,
        "2026-01-05T14:35:01Z".parse::<Timestamp>().unwrap()
    );
    assert_eq!(quote.currency.unwrap().as_str(), "USD");

    assert_eq!(answer.body, chart(&meta("KO", KO)), "the body as it came");
    assert!(
        answer.received_at >= before && answer.received_at == to_microseconds(answer.received_at)
    );
}

#[tokio::test]
async fn several_symbols_are_asked_for_in_one_request_and_come_in_the_order_asked() {
    let server = MockServer::start().await;
    let quote =
        |price: &str| format!(r#""regularMarketPrice":{price},"regularMarketTime":1767623701"#);
    let metas = [("PEP", "144.1"), ("SURPRISE", "9"), ("KO", "71.12")];
    let body = spark(&metas.map(|(symbol, price)| (symbol, meta(symbol, &quote(price)))));
    Mock::given(path("/v7/finance/spark"))
        .and(query_param("symbols", "KO,NOSUCH,PEP"))
        .respond_with(json_body(body))
        .expect(1)
        .mount(&server)
        .await;

    let answer = ask(&client_of(&server), &["KO", "NOSUCH", "PEP"])
        .await
        .unwrap();

    let told: Vec<String> = answer
        .quotes
        .iter()
        .map(|(symbol, quote)| match quote {
            Ok(quote) => format!("{symbol} {}", quote.price),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "KO 71.12",
            "yahoo does not know the symbol NOSUCH",
            "PEP 144.1"
        ]
    );
}

#[test]
fn twenty_symbols_go_into_one_request_and_no_more_which_yahoo_would_refuse() {
    assert_eq!(yahoo_at("http://127.0.0.1").max_symbols(), 20);
}

#[tokio::test]
async fn a_symbol_that_the_chart_does_not_know_is_unknown() {
    let body = json!({"chart": {"result": null, "error": {"code": "Not Found", "description": "nothing here"}}});
    let server = answering(ResponseTemplate::new(404).set_body_json(body)).await;

    let answer = ask(&client_of(&server), &["NOSUCH"]).await.unwrap();

    let symbol: Symbol = "NOSUCH".parse().unwrap();
    let unknown = ProviderError::UnknownSymbol {
        symbol: symbol.clone(),
        provider: "yahoo".parse().unwrap(),
    };
    assert_eq!(answer.quotes, [(symbol, Err(unknown))]);
}

#[tokio::test]
async fn pence_stay_pence_and_a_currency_may_be_missing() {
    let priced = |currency: &str| {
        let quote = format!(
            r#""currency":{currency},"regularMarketPrice":305.30,"regularMarketTime":1767623701"#
        );
        chart(&meta("VOD.L", &quote))
    };

    assert_eq!(one("VOD.L", priced(r#""GBp""#)).await, "305.3 GBp");
    assert_eq!(one("VOD.L", priced("null")).await, "305.3 ?");
    assert_eq!(one("VOD.L", priced("7")).await, "305.3 ?");
}

#[tokio::test]
async fn a_weekend_answer_without_any_series_has_the_last_price() {
    let body = format!(
        r#"{{"chart":{{"result":[{{"meta":{},"indicators":{{"quote":[{{}}]}}}}],"error":null}}}}"#,
        meta("KO", KO)
    );
    assert_eq!(one("KO", body).await, "71.123456789012345 USD");
}

#[tokio::test]
async fn what_is_no_price_is_never_made_one() {
    for (price, reason) in [
        (r#""Infinity""#, "its price is not a decimal number"),
        (r#""NaN""#, "its price is not a decimal number"),
        (r#""71.12""#, "its price is not a decimal number"),
        ("0", "its price is not greater than zero"),
        ("-3.5", "its price is not greater than zero"),
        ("null", "it has none"),
        (
            "1e300",
            "its price has more than 11 digits before the point, 20 after it or 26 in all",
        ),
    ] {
        let quote = format!(r#""regularMarketPrice":{price},"regularMarketTime":1767623701"#);
        let told = one("KO", chart(&meta("KO", &quote))).await;
        assert_eq!(
            told,
            format!("yahoo has no usable price for KO: {reason}"),
            "{price}"
        );
    }

    let missing = chart(&meta(
        "KO",
        r#""currency":"USD","regularMarketTime":1767623701"#,
    ));
    assert_eq!(
        one("KO", missing).await,
        "yahoo has no usable price for KO: it has none"
    );
}

#[tokio::test]
async fn a_price_without_a_past_market_time_is_not_used() {
    for time in [
        "4102444800",
        "0",
        "-1",
        "1767623701.5",
        r#""1767623701""#,
        "99999999999999999999",
    ] {
        let quote = format!(r#""regularMarketPrice":71,"regularMarketTime":{time}"#);
        let told = one("KO", chart(&meta("KO", &quote))).await;
        assert_eq!(
            told, "yahoo has no usable price for KO: its market time is not in the past",
            "{time}"
        );
    }

    let missing = chart(&meta("KO", r#""regularMarketPrice":71"#));
    assert_eq!(
        one("KO", missing).await,
        "yahoo has no usable price for KO: it has no market time"
    );
}

#[tokio::test]
async fn one_symbol_without_a_price_does_not_touch_its_neighbours() {
    let odd = r#""currency":null,"regularMarketPrice":"Infinity","regularMarketTime":null"#;
    let body = spark(&[("PAD", meta("PAD", odd)), ("KO", meta("KO", KO))]);
    let server = answering(json_body(body)).await;

    let answer = ask(&client_of(&server), &["PAD", "KO"]).await.unwrap();

    assert!(
        matches!(answer.quotes[0].1, Err(ProviderError::NoPrice { .. })),
        "{:?}",
        answer.quotes
    );
    assert!(answer.quotes[1].1.is_ok(), "{:?}", answer.quotes);
}

#[tokio::test]
async fn symbols_with_special_characters_arrive_as_they_are() {
    let server = answering(json_body(spark(&[]))).await;
    let symbols = ["^GSPC", "M&M.NS", "EURUSD=X", "BRK-B"];

    ask(&client_of(&server), &symbols).await.unwrap();
    ask(&client_of(&server), &["^GSPC"]).await.unwrap();
    ask(&client_of(&server), &["M&M.NS"]).await.unwrap();

    let requests = server.received_requests().await.unwrap();
    let list = requests[0]
        .url
        .query_pairs()
        .find(|(name, _)| name == "symbols")
        .unwrap()
        .1;
    assert_eq!(list, symbols.join(","));
    assert!(matches!(
        requests[1].url.path(),
        "/v8/finance/chart/^GSPC" | "/v8/finance/chart/%5EGSPC"
    ));
    assert_eq!(requests[2].url.path(), "/v8/finance/chart/M&M.NS");
}

#[tokio::test]
async fn symbols_that_would_change_the_request_are_unknown_without_asking() {
    let server = MockServer::start().await;

    let answer = ask(
        &client_of(&server),
        &[".", "..", "A/B", "KO,PEP", "KO?X=1", "%2E", "^"],
    )
    .await
    .unwrap();

    for (symbol, quote) in &answer.quotes {
        assert!(
            matches!(quote, Err(ProviderError::UnknownSymbol { .. })),
            "{symbol}: {quote:?}"
        );
    }
    assert_eq!((answer.quotes.len(), answer.body.as_str()), (7, ""));
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_base_url_may_have_a_path_of_its_own() {
    let server = answering(json_body(spark(&[]))).await;
    let yahoo = yahoo_at(&format!("{}/proxy/", server.uri()));

    ask(&yahoo, &["KO"]).await.unwrap();

    assert_eq!(
        server.received_requests().await.unwrap()[0].url.path(),
        "/proxy/v8/finance/chart/KO"
    );
}
