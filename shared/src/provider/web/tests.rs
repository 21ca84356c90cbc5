use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::provider::alpha_vantage::AlphaVantage;
use crate::provider::binance::Binance;
use crate::provider::coinbase::Coinbase;
use crate::provider::finnhub::Finnhub;
use crate::provider::kraken::Kraken;
use crate::provider::tiingo::Tiingo;
use crate::provider::twelve_data::TwelveData;
use crate::provider::yahoo::Yahoo;
use crate::provider::{self as providers, REQUEST_TIMEOUT};

mod answers;
mod connections;
mod exchanges;
mod failures;
mod lists;
mod mutations;
mod recorded;
mod server;
mod times;

const KEY: &str = "k3y-0f-ours";

fn source(base_url: &str) -> Source {
    Source {
        base_url: base_url.to_owned(),
        key: Some(Secret::new(KEY.to_owned())),
        needs: None,
        limits: Limits::unlimited(20),
    }
}

/// The provider with this API at this address.
fn web<A: Api>(name: &'static str, api: A, base_url: &str, timeout: Duration) -> Web<A> {
    let http = Arc::new(HttpClient::with_timeout(None, timeout));
    Web::new(name, api, source(base_url), http)
}

/// All providers that are asked over HTTP, at this address.
fn all(base_url: &str, timeout: Duration) -> Vec<Arc<dyn Provider>> {
    let http = Arc::new(HttpClient::with_timeout(None, timeout));
    vec![
        Arc::new(Yahoo::provider("Mozilla/5.0", source(base_url), http)),
        Arc::new(web(providers::FINNHUB, Finnhub, base_url, timeout)),
        Arc::new(web(providers::TWELVE_DATA, TwelveData, base_url, timeout)),
        Arc::new(web(
            providers::ALPHA_VANTAGE,
            AlphaVantage,
            base_url,
            timeout,
        )),
        Arc::new(web(providers::TIINGO, Tiingo, base_url, timeout)),
        Arc::new(web(providers::COINBASE, Coinbase, base_url, timeout)),
        Arc::new(web(providers::KRAKEN, Kraken, base_url, timeout)),
        Arc::new(web(providers::BINANCE, Binance, base_url, timeout)),
    ]
}

fn symbols(names: &[&str]) -> Vec<Symbol> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A complete answer with this status and body.
fn received(status: u16, body: impl Into<String>) -> Received {
    Received {
        status,
        retry_after: None,
        body: body.into(),
        asked_at: "2026-01-05T14:59:58Z".parse().unwrap(),
        received_at: "2026-01-05T15:00:00Z".parse().unwrap(),
        requests: 1,
    }
}

/// What an answer says about each symbol: `price currency time`, or its fault.
fn told(api: &dyn Api, names: &[&str], received: &Received) -> Vec<String> {
    let symbols = symbols(names);
    let asked: Vec<&Symbol> = symbols.iter().collect();

    match api.read(received, &asked) {
        Err(fault) => vec![format!("whole: {fault:?}")],
        Ok(found) => symbols
            .iter()
            .map(|symbol| match found.of(symbol) {
                Err(fault) => format!("{fault:?}"),
                Ok(quote) => format!(
                    "{} {} {}",
                    quote.price,
                    quote.currency.map_or("?".to_owned(), String::from),
                    quote.timestamp.format("%H:%M:%S%.f")
                ),
            })
            .collect(),
    }
}

#[test]
fn no_debug_output_shows_a_key() {
    for provider in all("http://127.0.0.1:9", REQUEST_TIMEOUT) {
        assert!(!format!("{provider:?}").contains(KEY));
    }
}

#[test]
fn keys_are_in_headers_where_the_provider_allows_it() {
    let base = Url::parse("http://127.0.0.1:9/proxy/").unwrap();
    let key = Secret::new(KEY.to_owned());
    let symbols = symbols(&["BRK.B", "KO"]);
    let asked: Vec<&Symbol> = symbols.iter().collect();

    let keyed: [(&dyn Api, &str, Option<&str>); 4] = [
        (&Finnhub, "/proxy/api/v1/quote?symbol=BRK.B", Some(KEY)),
        (
            &TwelveData,
            "/proxy/quote?symbol=BRK.B%2CKO",
            Some("apikey k3y-0f-ours"),
        ),
        (
            &Tiingo,
            "/proxy/iex/?tickers=BRK.B%2CKO",
            Some("Token k3y-0f-ours"),
        ),
        (
            &AlphaVantage,
            "/proxy/query?function=GLOBAL_QUOTE&symbol=BRK.B&apikey=k3y-0f-ours",
            None,
        ),
    ];
    for (api, path, header) in keyed {
        let request = api.request(&base, Some(&key), &asked);

        assert_eq!(request.url.as_str(), format!("http://127.0.0.1:9{path}"));
        let values: Vec<_> = request.headers.values().collect();
        assert_eq!(
            values.iter().map(|value| value.to_str().unwrap()).next(),
            header
        );
        assert!(values.iter().all(|value| value.is_sensitive()));
    }
}

#[test]
fn requests_without_a_key_name_the_pairs() {
    let base = Url::parse("http://127.0.0.1:9").unwrap();
    let symbols = symbols(&["BTCUSDT", "ETHUSDT"]);
    let asked: Vec<&Symbol> = symbols.iter().collect();

    let path = |api: &dyn Api| {
        api.request(&base, None, &asked)
            .url
            .as_str()
            .replace("http://127.0.0.1:9", "")
    };
    assert_eq!(path(&Coinbase), "/products/BTCUSDT/ticker");
    assert_eq!(path(&Kraken), "/0/public/Ticker?pair=BTCUSDT%2CETHUSDT");
    assert_eq!(
        path(&Binance),
        "/api/v3/ticker/price?symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D"
    );
}

#[tokio::test]
async fn symbols_that_would_change_a_request_are_unknown_without_asking() {
    for provider in all("http://127.0.0.1:9", REQUEST_TIMEOUT) {
        let symbols = symbols(&["..", "A,B", "A?B", "A&C#D", "%2E", "\"]", "KO\\"]);
        let symbols: Vec<Symbol> = symbols
            .into_iter()
            .filter(|symbol| provider.name().as_str() != "yahoo" || symbol.as_str() != "A&C#D")
            .collect();

        let answer = provider.fetch(&symbols, Utc::now()).await.unwrap();
        let unknown = |(_, quote): &(_, Result<_, _>)| {
            matches!(quote, Err(ProviderError::UnknownSymbol { .. }))
        };
        assert!(answer.quotes.iter().all(unknown), "{:?}", answer.quotes);
        assert_eq!((answer.requests, answer.body.as_str()), (0, ""));

        // Known before anything is done for a request.
        let refused = provider.unaskable(&symbols).await.unwrap();
        let refused: Vec<_> = refused.into_iter().map(|(symbol, _)| symbol).collect();
        assert_eq!(refused, symbols);
    }
}
