//! Every failure of HTTP, from every provider: none panics, hangs, or is taken for a quote.

use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::server::{Play, Server, compressed};
use super::*;
use crate::provider::Refusal;

/// Longest wait for an answer in these tests; a drip ends with it.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The kind of an error, with its reason and its wait where it has them.
fn kind(error: &ProviderError) -> String {
    match error {
        ProviderError::UnknownSymbol { .. } => "unknown symbol".to_owned(),
        ProviderError::NoPrice { .. } => "no price".to_owned(),
        ProviderError::RateLimited { retry_after, .. } => match retry_after {
            Some(wait) => format!("rate limited for {} s", wait.as_secs()),
            None => "rate limited".to_owned(),
        },
        ProviderError::NotAllowed { refusal, .. } => format!("not allowed: it {refusal}"),
        ProviderError::TimedOut { .. } => "timed out".to_owned(),
        ProviderError::Unspelled { .. } => "unspelled".to_owned(),
        ProviderError::Paused { .. } => "paused".to_owned(),
        ProviderError::Unavailable { reason, .. } => format!("unavailable: {reason}"),
        ProviderError::Malformed { reason, .. } => format!("malformed: {reason}"),
    }
}

/// Asks each provider for two symbols of this server, and returns the kinds of their errors.
async fn kinds(server: &Server) -> Vec<(String, String)> {
    let mut kinds = Vec::new();

    for provider in all(&server.address, PATIENCE) {
        let symbols = symbols(&["BTC-USD", "ETHUSD"]);
        let symbols = &symbols[..provider.max_symbols().min(2)];
        let answer = provider.fetch(symbols, Utc::now()).await;
        // A failure that may be due to the only symbol asked for is that symbol's.
        let error = answer.map_or_else(
            |error| error,
            |mut answer| answer.quotes.remove(0).1.unwrap_err(),
        );

        assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
        kinds.push((provider.name().to_string(), kind(&error)));
    }
    kinds
}

async fn all_say(play: Play, expected: &str) {
    let server = Server::playing(play.clone()).await;

    for (provider, kind) in kinds(&server).await {
        assert_eq!(kind, expected, "{provider}, {play:?}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_no_answer() {
    let whole = compressed(100_000);
    let half = whole[..whole.len() / 2].to_vec();

    for play in [
        Play::Reset,
        Play::Cut("Content-Length: 100"),
        Play::Cut("Transfer-Encoding: chunked"),
        Play::Close,
        Play::Garbage,
    ] {
        all_say(play, "unavailable: the connection broke off").await;
    }
    all_say(Play::Answer(200, "", ""), "unavailable: an empty answer").await;
    all_say(
        Play::Compressed(half),
        "unavailable: the connection broke off",
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_drips_or_never_comes_times_out() {
    for play in [Play::Drip, Play::DripHead, Play::Silence] {
        all_say(play, "timed out").await;
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable() {
    let server = Server::playing(Play::Close).await;
    server.stop().await;

    for (provider, kind) in kinds(&server).await {
        assert_eq!(kind, "unavailable: no connection to it", "{provider}");
    }
}

#[tokio::test]
async fn no_more_than_two_megabytes_are_read_compressed_or_not() {
    const MEGABYTES: usize = 1024 * 1024;
    all_say(Play::Long(50 * MEGABYTES), "malformed: more than 2 MB").await;
    all_say(
        Play::Compressed(compressed(8 * MEGABYTES)),
        "malformed: more than 2 MB",
    )
    .await;
}

#[tokio::test]
async fn a_web_page_is_an_outage_whatever_its_status_and_type() {
    let page = "<!DOCTYPE html><title>Will be right back</title>";
    for headers in [
        "Content-Type: text/html\r\n",
        "Content-Type: application/json\r\n",
        "",
    ] {
        let page = Play::Answer(200, headers, page);
        all_say(page, "unavailable: a web page instead of data").await;
    }

    all_say(Play::Answer(503, "", page), "unavailable: HTTP status 503").await;
    all_say(Play::Answer(502, "", ""), "unavailable: HTTP status 502").await;
    all_say(Play::Answer(500, "", "{}"), "unavailable: HTTP status 500").await;
    all_say(
        Play::Answer(504, "Content-Type: text/plain\r\n", "upstream timed out"),
        "unavailable: HTTP status 504",
    )
    .await;
}

#[tokio::test]
async fn a_failure_that_may_be_due_to_the_only_symbol_is_its_own_and_an_outage_the_provider_s() {
    let own = [
        (
            403,
            "You do not have access to this resource.",
            "not allowed",
        ),
        (400, "{\"detail\":\"bad\"}", "malformed"),
        (404, "<html>", "malformed"),
        (200, "[[]]", "malformed"),
    ];
    for (status, body, expected) in own {
        let server = Server::playing(Play::Answer(status, "", body)).await;
        for provider in all(&server.address, PATIENCE) {
            let symbols = symbols(&["BTCUSD"]);
            let answer = provider.fetch(&symbols, Utc::now()).await;
            let blocked = |error: &ProviderError| matches!(error, ProviderError::NotAllowed { refusal, .. } if *refusal == Refusal::Blocked);
            // Those without a key deny access to an address, which is no symbol's.
            if answer.as_ref().is_err_and(blocked) {
                assert_eq!(status, 403, "{provider:?}");
                continue;
            }

            let answer = answer.unwrap();
            let error = answer.quotes[0].1.as_ref().unwrap_err();
            assert!(kind(error).starts_with(expected), "{provider:?} {error}");
            assert_eq!((answer.requests, answer.body.as_str()), (1, body));
        }
    }

    for status in [500, 502, 503] {
        let server = Server::playing(Play::Answer(status, "", "{}")).await;
        for provider in all(&server.address, PATIENCE) {
            let symbols = symbols(&["BTCUSD"]);
            let error = provider.fetch(&symbols, Utc::now()).await.unwrap_err();
            assert!(
                kind(&error).starts_with("unavailable"),
                "{provider:?} {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_limit_lasts_as_long_as_the_provider_says_in_seconds_or_by_a_date() {
    all_say(Play::Answer(429, "", "slow down"), "rate limited").await;
    all_say(
        Play::Answer(429, "Retry-After: soon\r\n", ""),
        "rate limited",
    )
    .await;
    all_say(
        Play::Answer(429, "Retry-After: 77\r\n", ""),
        "rate limited for 77 s",
    )
    .await;

    for status in [429, 503] {
        let minutes = Play::RetryAfterDate(status, Duration::from_mins(10));
        let server = Server::playing(minutes).await;
        for (provider, kind) in kinds(&server).await {
            let wait = kind.strip_prefix("rate limited for ");
            let wait = wait.and_then(|wait| wait.strip_suffix(" s")?.parse::<u64>().ok());
            // The test takes a part of the time.
            let is_told = wait.is_some_and(|wait| (480..=600).contains(&wait));
            assert!(is_told, "{provider}, {status}: {kind}");
        }
    }

    // Also where it is busy or being serviced.
    for status in [500, 503] {
        let busy = Play::Answer(status, "Retry-After: 30\r\n", "{}");
        all_say(busy, "rate limited for 30 s").await;
    }

    // A date of the past is over, and one far away is cut to a day.
    let past = "Retry-After: Mon, 05 Jan 2026 10:00:00 GMT\r\n";
    all_say(Play::Answer(429, past, ""), "rate limited for 1 s").await;
    let far = "Retry-After: Sat, 05 Jan 2126 10:00:00 GMT\r\n";
    all_say(Play::Answer(429, far, ""), "rate limited for 86400 s").await;
}

#[tokio::test]
async fn a_denial_is_not_allowed_and_not_unavailable() {
    use Refusal::{Blocked, KeyRefused, Plan};

    for (status, with_key) in [(401, KeyRefused), (402, Plan), (403, Plan), (451, Blocked)] {
        let server = Server::playing(Play::Answer(status, "", "no")).await;
        for (provider, kind) in kinds(&server).await {
            // Without a key there is nothing but the address to deny access to.
            let has_key = ["finnhub", "twelve_data", "alpha_vantage", "tiingo"];
            let refusal = if has_key.contains(&provider.as_str()) {
                with_key
            } else {
                Blocked
            };
            assert_eq!(
                kind,
                format!("not allowed: it {refusal}"),
                "{provider}, {status}"
            );
        }
    }
}

#[tokio::test]
async fn redirections_are_followed_three_times_and_never_to_another_server() {
    let elsewhere = Server::playing(Play::Answer(200, "", "{}")).await;
    all_say(
        Play::Redirect(format!("{}/quote", elsewhere.address)),
        "unavailable: it sends us elsewhere",
    )
    .await;
    assert_eq!(elsewhere.requests(), 0);

    let circle = Server::playing(Play::Redirect("/again".to_owned())).await;
    for (provider, kind) in kinds(&circle).await {
        assert_eq!(kind, "unavailable: it sends us elsewhere", "{provider}");
    }
    assert_eq!(circle.requests(), 8 * 4);
}

#[tokio::test]
async fn a_request_and_its_redirections_share_one_limit() {
    const EACH: Duration = Duration::from_millis(1_500);
    const LIMIT: Duration = Duration::from_millis(2_500);

    let server = MockServer::start().await;
    let moved = ResponseTemplate::new(302).insert_header("Location", "/moved");
    Mock::given(path("/api/v1/quote"))
        .respond_with(moved.set_delay(EACH))
        .mount(&server)
        .await;
    let quote = ResponseTemplate::new(200).set_body_string(r#"{"c":7,"t":1767623701}"#);
    Mock::given(path("/moved"))
        .respond_with(quote.set_delay(EACH))
        .mount(&server)
        .await;

    // Either one alone is answered within the limit.
    let finnhub = web(providers::FINNHUB, Finnhub, &server.uri(), LIMIT);
    let error = finnhub.fetch(&symbols(&["KO"]), Utc::now()).await;
    assert_eq!(kind(&error.unwrap_err()), "timed out");
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}
