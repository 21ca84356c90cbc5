//! Lists of symbols, where one unknown symbol fails all, and what is stored of an answer.

use wiremock::matchers::{any, header, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn json(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.to_owned(), "application/json")
}

async fn quotes(provider: &dyn Provider, names: &[&str]) -> (u32, Vec<String>) {
    let (symbols, mut requests) = (symbols(names), 0);
    let mut answer = provider.fetch(&symbols, Utc::now()).await.unwrap();
    if provider.is_undecided(&answer) {
        requests = answer.requests;
        let among_all = provider.fetch_among_all(&symbols, Utc::now()).await;
        answer = among_all.unwrap();
    }
    let told = |(symbol, quote): &(Symbol, Result<_, ProviderError>)| match quote {
        Ok(crate::market::Quote { price, .. }) => format!("{symbol} {price}"),
        Err(error) => error.to_string(),
    };

    let quotes = answer.quotes.iter().map(told).collect();
    (requests + answer.requests, quotes)
}

/// Asks twice for a list with an unknown symbol, and once for that symbol alone.
async fn check_unknown_symbol(provider: &dyn Provider, names: [&str; 3]) {
    let [one, unknown, other] = names;
    let unknown_too = format!("{} does not know the symbol {unknown}", provider.name());
    let expected = vec![
        format!("{one} 7"),
        unknown_too.clone(),
        format!("{other} 8"),
    ];

    let first = quotes(provider, &names).await;
    assert_eq!(first, (2, expected.clone()));
    let second = quotes(provider, &names).await;
    assert_eq!(second, (1, expected), "it is not asked for again");
    assert_eq!(quotes(provider, &[unknown]).await, (0, vec![unknown_too]));
}

#[tokio::test]
async fn one_unknown_pair_costs_krakens_others_a_second_request_once() {
    let server = MockServer::start().await;
    let pairs = r#"{"error":[],"result":{"XXBTZUSD":{"c":["7","1"]},"SOLUSD":{"c":["8","1"]},"ADAUSD":{"c":["9","1"]}}}"#;
    let ticker = || Mock::given(path("/0/public/Ticker"));
    ticker()
        .and(query_param("pair", "XBTUSD,NOPE,SOLUSD"))
        .respond_with(json(r#"{"error":["EQuery:Unknown asset pair"]}"#))
        .expect(1)
        .mount(&server)
        .await;
    ticker()
        .and(query_param_is_missing("pair"))
        .respond_with(json(pairs))
        .expect(1)
        .mount(&server)
        .await;
    ticker()
        .and(query_param("pair", "XBTUSD,SOLUSD"))
        .respond_with(json(pairs))
        .expect(1)
        .mount(&server)
        .await;

    let kraken = web(providers::KRAKEN, Kraken, &server.uri(), REQUEST_TIMEOUT);
    check_unknown_symbol(&kraken, ["XBTUSD", "NOPE", "SOLUSD"]).await;
}

#[tokio::test]
async fn one_unknown_symbol_costs_binances_others_a_second_request_once() {
    let server = MockServer::start().await;
    let prices = r#"[{"symbol":"BTCUSDT","price":"7"},{"symbol":"ETHUSDT","price":"8"},{"symbol":"SOLUSDT","price":"9"}]"#;
    let price = || Mock::given(path("/api/v3/ticker/price"));
    price()
        .and(query_param("symbols", r#"["BTCUSDT","NOPE","ETHUSDT"]"#))
        .respond_with(
            ResponseTemplate::new(400).set_body_string(r#"{"code":-1121,"msg":"Invalid symbol."}"#),
        )
        .expect(1)
        .mount(&server)
        .await;
    price()
        .and(query_param_is_missing("symbols"))
        .respond_with(json(prices))
        .expect(1)
        .mount(&server)
        .await;
    price()
        .and(query_param("symbols", r#"["BTCUSDT","ETHUSDT"]"#))
        .respond_with(json(prices))
        .expect(1)
        .mount(&server)
        .await;

    let binance = web(providers::BINANCE, Binance, &server.uri(), REQUEST_TIMEOUT);
    check_unknown_symbol(&binance, ["BTCUSDT", "NOPE", "ETHUSDT"]).await;
}

#[tokio::test]
async fn a_single_unknown_symbol_costs_one_request() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(json(r#"{"error":["EQuery:Unknown asset pair"]}"#))
        .expect(1)
        .mount(&server)
        .await;

    let kraken = web(providers::KRAKEN, Kraken, &server.uri(), REQUEST_TIMEOUT);
    let unknown = "kraken does not know the symbol NOPE".to_owned();
    assert_eq!(quotes(&kraken, &["NOPE"]).await, (1, vec![unknown]));
}

#[tokio::test]
async fn a_list_in_which_every_symbol_is_limited_is_limited_as_a_whole() {
    let server = MockServer::start().await;
    let limited = r#"{"code":429,"message":"current minute","status":"error"}"#;
    Mock::given(any())
        .respond_with(json(&format!(r#"{{"KO":{limited},"PEP":{limited}}}"#)))
        .mount(&server)
        .await;

    let twelve = web(
        providers::TWELVE_DATA,
        TwelveData,
        &server.uri(),
        REQUEST_TIMEOUT,
    );
    let error = twelve
        .fetch(&symbols(&["KO", "PEP"]), Utc::now())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "twelve_data limits our requests per minute"
    );
    assert_eq!(error.wait(), Some(Duration::from_mins(1)));
}

#[tokio::test]
async fn a_list_of_which_the_plan_includes_no_symbol_is_no_refusal_of_other_symbols() {
    let server = MockServer::start().await;
    let refused = r#"{"code":403,"message":"available with another plan","status":"error"}"#;
    Mock::given(any())
        .respond_with(json(&format!(r#"{{"KO":{refused},"PEP":{refused}}}"#)))
        .mount(&server)
        .await;

    let twelve = web(
        providers::TWELVE_DATA,
        TwelveData,
        &server.uri(),
        REQUEST_TIMEOUT,
    );
    let (_, told) = quotes(&twelve, &["KO", "PEP"]).await;
    let plan = "twelve_data does not allow this with the plan of our key";
    assert_eq!(told, [plan, plan]);
}

#[tokio::test]
async fn an_answer_about_everything_makes_no_symbol_unknown_by_an_error() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(json(r#"{"error":["EQuery:Unknown asset pair"]}"#))
        .mount(&server)
        .await;

    let kraken = web(providers::KRAKEN, Kraken, &server.uri(), REQUEST_TIMEOUT);
    let pairs = symbols(&["XBTUSD", "NOPE"]);
    let error = kraken.fetch_among_all(&pairs, Utc::now()).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ProviderError::Malformed { .. }),
        "{error:?}"
    );
    assert_eq!(kraken.unaskable(&pairs).await.unwrap(), []);
}

#[tokio::test]
async fn a_key_that_the_provider_repeats_is_not_in_the_raw_response() {
    let server = MockServer::start().await;
    let body = r#"{"Global Quote":{"05. price":"71.12","07. latest trading day":"2026-01-05","note":"for k3y-0f-ours"}}"#;
    Mock::given(query_param("apikey", KEY))
        .respond_with(json(body))
        .expect(1)
        .mount(&server)
        .await;

    let alpha = web(
        providers::ALPHA_VANTAGE,
        AlphaVantage,
        &server.uri(),
        REQUEST_TIMEOUT,
    );
    let answer = alpha.fetch(&symbols(&["KO"]), Utc::now()).await.unwrap();

    assert!(answer.quotes[0].1.is_ok(), "{answer:?}");
    assert_eq!(answer.body, body.replace(KEY, "(key)"));
}

#[tokio::test]
async fn a_redirection_is_a_request_of_its_own() {
    let server = MockServer::start().await;
    for (from, to) in [("/iex/", "/one"), ("/one", "/two")] {
        Mock::given(path(from))
            .respond_with(ResponseTemplate::new(302).insert_header("Location", to))
            .mount(&server)
            .await;
    }
    let entry = r#"[{"ticker":"KO","timestamp":"2026-01-05T14:00:00Z","tngoLast":7}]"#;
    Mock::given(path("/two"))
        .and(header("authorization", format!("Token {KEY}")))
        .respond_with(json(entry))
        .mount(&server)
        .await;

    let tiingo = web(providers::TIINGO, Tiingo, &server.uri(), REQUEST_TIMEOUT);
    assert_eq!(quotes(&tiingo, &["KO"]).await, (3, vec!["KO 7".to_owned()]));
    assert_eq!(
        (tiingo.take_redirections(), tiingo.take_redirections()),
        (2, 0)
    );

    let circle = ResponseTemplate::new(302).insert_header("Location", "/iex/");
    let server = MockServer::start().await;
    Mock::given(path("/iex/"))
        .respond_with(circle)
        .mount(&server)
        .await;
    let tiingo = web(providers::TIINGO, Tiingo, &server.uri(), REQUEST_TIMEOUT);
    assert!(tiingo.fetch(&symbols(&["KO"]), Utc::now()).await.is_err());
    assert_eq!(tiingo.take_redirections(), 3, "nothing came of them");
}
