//! What the answers of providers with a key mean: good ones, and those that report a failure.

use super::*;

/// An answer's status and body, the symbols asked for, and what it says about each.
pub(super) type Case = (
    u16,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

pub(super) fn check(api: &dyn Api, cases: &[Case]) {
    for (status, body, names, expected) in cases {
        assert_eq!(
            told(api, names, &received(*status, *body)),
            *expected,
            "{body}"
        );
    }
}

pub(super) const NONE: &str = r#"NoPrice("it has none")"#;
pub(super) const NOT_PAST: &str = r#"NoPrice("its market time is not in the past")"#;
pub(super) const SHAPE: &str = r#"whole: Malformed("JSON of another shape")"#;

#[test]
fn finnhub() {
    check(
        &Finnhub,
        &[
            (
                200,
                r#"{"c":71.1200,"d":0.1,"dp":1,"h":72,"l":70,"o":71,"pc":71,"t":1767623701}"#,
                &["KO"],
                &["71.12 ? 14:35:01"],
            ),
            (
                200,
                r#"{"c":"71.12","d":null,"t":"1767623701"}"#,
                &["KO"],
                &["71.12 ? 14:35:01"],
            ),
            (
                200,
                r#"{"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0}"#,
                &["KO"],
                &["Unknown"],
            ),
            (
                200,
                r#"{"c":0,"t":1767623701}"#,
                &["KO"],
                &[r#"NoPrice("its price is not greater than zero")"#],
            ),
            (
                200,
                r#"{"c":"NaN","t":1767623701}"#,
                &["KO"],
                &[r#"NoPrice("its price is not a decimal number")"#],
            ),
            (200, r#"{"c":7,"t":1767723701}"#, &["KO"], &[NOT_PAST]),
            (200, r#"{"c":NaN,"t":1767623701}"#, &["KO"], &[SHAPE]),
            (200, "[]", &["KO"], &[SHAPE]),
        ],
    );
}

#[test]
fn finnhubs_errors_are_told_by_their_words_and_then_by_the_status() {
    const MINUTE: &str = "whole: RateLimited { retry_after: None, scope: Some(Minute) }";
    check(
        &Finnhub,
        &[
            (
                401,
                r#"{"error":"Invalid API key."}"#,
                &["KO"],
                &["whole: NotAllowed(KeyRefused)"],
            ),
            (
                403,
                r#"{"error":"You do not have access."}"#,
                &["KO"],
                &["whole: NotAllowed(Plan)"],
            ),
            (
                429,
                r#"{"error":"API limit reached. Remaining Limit: 0"}"#,
                &["KO"],
                &[MINUTE],
            ),
            (200, r#"{"error":"API limit reached."}"#, &["KO"], &[MINUTE]),
            (403, r#"{"error":"API limit reached."}"#, &["KO"], &[MINUTE]),
            (
                200,
                r#"{"error":"Please use an API key."}"#,
                &["KO"],
                &["whole: NotAllowed(KeyRefused)"],
            ),
            (
                200,
                r#"{"error":"You don't have access to this resource."}"#,
                &["KO"],
                &["whole: NotAllowed(Plan)"],
            ),
            (
                200,
                r#"{"error":"Symbol not supported"}"#,
                &["KO"],
                &[r#"whole: Malformed("an error of its own")"#],
            ),
            (
                502,
                r#"{"error":"Internal"}"#,
                &["KO"],
                &[r#"whole: Unavailable("HTTP status 502")"#],
            ),
        ],
    );
}

#[test]
fn twelve_data() {
    const KO: &str = r#"{"symbol":"KO","currency":"USD","timestamp":1767619800,"last_quote_at":1767623701,"close":"71.1200","is_market_open":true}"#;
    check(
        &TwelveData,
        &[
            (200, KO, &["KO"], &["71.12 USD 14:35:01"]),
            (
                200,
                r#"{"symbol":"KO","close":"7","timestamp":1767619800}"#,
                &["KO"],
                &["7 ? 13:30:00"],
            ),
            (200, KO, &["ko"], &["71.12 USD 14:35:01"]),
            (200, KO, &["KO:NYSE"], &["71.12 USD 14:35:01"]),
            (
                200,
                KO,
                &["PEP"],
                &[r#"whole: Malformed("its entry for PEP names another symbol")"#],
            ),
            (
                200,
                r#"{"symbol":"KO","close":null,"timestamp":1767619800}"#,
                &["KO"],
                &[NONE],
            ),
            (
                200,
                "{}",
                &["KO"],
                &[r#"whole: Malformed("its entry for KO")"#],
            ),
            (200, "[1]", &["KO", "PEP"], &[SHAPE]),
        ],
    );
}

#[test]
fn twelve_datas_errors_have_codes_of_their_own() {
    check(
        &TwelveData,
        &[
            (
                404,
                r#"{"code":404,"message":"**symbol** parameter is missing or invalid.","status":"error"}"#,
                &["KO"],
                &["Unknown"],
            ),
            (
                200,
                r#"{"code":404,"message":"This symbol is available starting with the Grow plan.","status":"error"}"#,
                &["KO"],
                &["NotAllowed(Plan)"],
            ),
            (
                200,
                r#"{"code":401,"message":"apikey is incorrect","status":"error"}"#,
                &["KO", "PEP"],
                &["whole: NotAllowed(KeyRefused)"],
            ),
            (
                200,
                r#"{"code":429,"message":"out of API credits for the current minute.","status":"error"}"#,
                &["KO", "PEP"],
                &["whole: RateLimited { retry_after: None, scope: Some(Minute) }"],
            ),
            (
                429,
                r#"{"code":429,"message":"out of API credits for the day.","status":"error"}"#,
                &["KO", "PEP"],
                &["whole: RateLimited { retry_after: None, scope: Some(Day) }"],
            ),
            (
                404,
                r#"{"code":404,"message":"**symbol** parameter is missing or invalid.","status":"error"}"#,
                &["KO", "PEP"],
                &["Unknown", "Unknown"],
            ),
            (
                400,
                r#"{"code":400,"message":"too many symbols","status":"error"}"#,
                &["KO", "PEP"],
                &[r#"whole: Malformed("an error of its own, code 400")"#],
            ),
            (
                200,
                r#"{"code":500,"message":"internal","status":"error"}"#,
                &["KO", "PEP"],
                &[r#"whole: Unavailable("its service is down or busy")"#],
            ),
        ],
    );
}

#[test]
fn in_twelve_datas_lists_each_symbol_has_its_own_quote_or_error() {
    check(
        &TwelveData,
        &[(
            200,
            r#"{"KO":{"symbol":"KO","currency":"USD","last_quote_at":1767623701,"close":71.12},
                "EUR/USD":{"code":404,"message":"symbol not found","status":"error"},
                "PEP":{"code":429,"message":"current minute","status":"error"},
                "IBM":{"symbol":"MSFT","last_quote_at":1767623701,"close":400}, "PAD":NaN}"#,
            &["PEP", "ko", "EUR/USD", "IBM", "PAD"],
            &[
                "RateLimited { retry_after: None, scope: Some(Minute) }",
                "71.12 USD 14:35:01",
                "Unknown",
                r#"Malformed("its entry for IBM names another symbol")"#,
                r#"Malformed("its entry for PAD")"#,
            ],
        )],
    );
}

#[test]
fn alpha_vantage() {
    const QUOTE: &str = r#"{"01. symbol":"KO","05. price":"71.1200","07. latest trading day":"2026-01-05","10. change percent":"-0.5%"}"#;
    let read = |body: &str| told(&AlphaVantage, &["KO"], &received(200, body)).remove(0);
    let quote = |entry: &str| read(&format!(r#"{{"Global Quote":{entry}}}"#));

    assert_eq!(quote(QUOTE), "71.12 ? 14:59:58");
    assert_eq!(
        read(&format!(
            r#"{{"Global Quote - DATA DELAYED BY 15 MINUTES":{QUOTE}}}"#
        )),
        "71.12 ? 14:59:58"
    );
    assert_eq!(quote(&QUOTE.replace("01-05", "01-02")), "71.12 ? 21:00:00");
    assert_eq!(quote(&QUOTE.replace("2026-01-05", "soon")), NOT_PAST);
    assert_eq!(
        quote(&QUOTE.replace("KO", "PEP")),
        r#"Malformed("its entry for KO names another symbol")"#
    );
    assert_eq!(quote("{}"), "Unknown");
    assert_eq!(read("{}"), SHAPE);
}

#[test]
fn alpha_vantages_failures_are_told_by_their_words() {
    let limited =
        |scope: &str| format!("whole: RateLimited {{ retry_after: None, scope: Some({scope}) }}");
    let says = |name: &str, words: &str| {
        let answer = received(200, format!(r#"{{"{name}":"{words}"}}"#));
        told(&AlphaVantage, &["KO"], &answer).remove(0)
    };

    let burst = "Please consider spreading out your free API requests (1 request per second); 25 requests per day";
    let day = "your API key is k3y-0f-ours and the rate limit is 25 requests per day. See our premium plans";
    let minute = "5 calls per minute and 500 calls per day";
    assert_eq!(says("Information", burst), limited("Second"));
    assert_eq!(says("Information", day), limited("Day"));
    assert_eq!(says("Note", minute), limited("Minute"));

    // The words say more than the status.
    let answer = |status, words| {
        let body = format!(r#"{{"Information":"{words}"}}"#);
        told(&AlphaVantage, &["KO"], &received(status, body)).remove(0)
    };
    assert_eq!(answer(429, day), limited("Day"));
    assert_eq!(
        answer(503, "Please come back later"),
        r#"whole: Unavailable("HTTP status 503")"#
    );
    assert_eq!(
        answer(200, "Please come back later"),
        r#"whole: Malformed("an error of its own")"#
    );

    for (name, words, failure) in [
        (
            "Information",
            "This is a premium endpoint.",
            "whole: NotAllowed(Plan)",
        ),
        (
            "Information",
            "The demo key is for examples",
            "whole: NotAllowed(KeyRefused)",
        ),
        (
            "Error Message",
            "the parameter apikey is invalid or missing",
            "whole: NotAllowed(KeyRefused)",
        ),
        ("Error Message", "Invalid API call.", "Unknown"),
    ] {
        assert_eq!(says(name, words), failure);
    }
}

#[test]
fn tiingo() {
    let limited =
        |scope: &str| format!("whole: RateLimited {{ retry_after: None, scope: Some({scope}) }}");
    let says = |status, body: &str| told(&Tiingo, &["KO"], &received(status, body)).remove(0);

    check(
        &Tiingo,
        &[
            (
                200,
                r#"[{"ticker":"ko","timestamp":"2026-01-05T09:35:01.123456789-05:00","tngoLast":71.1200,"last":null},
                    {"ticker":"PEP","timestamp":"2026-01-05T14:00:00Z","tngoLast":null,"mid":9}]"#,
                &["PEP", "KO", "PAD"],
                &[NONE, "71.12 ? 14:35:01.123456", "Unknown"],
            ),
            (
                200,
                r#"[{"ticker":"KO","timestamp":"2026-01-05T14:00:00Z","tngoLast":7}]"#,
                &["ko"],
                &["7 ? 14:00:00"],
            ),
            (200, "[]", &["KO"], &["Unknown"]),
            (200, "{}", &["KO"], &[SHAPE]),
        ],
    );
    assert_eq!(
        says(
            429,
            r#"{"detail":"Error: You have run over your hourly request allocation."}"#
        ),
        limited("Hour")
    );
    assert_eq!(
        says(
            200,
            "You have run over your 500 symbol look up for this month."
        ),
        limited("Month")
    );
    assert_eq!(
        says(200, r#"{"detail":"Invalid token."}"#),
        "whole: NotAllowed(KeyRefused)"
    );

    // The pages of other servers say anything.
    for words in ["your credentials", "run over your day", "no permission"] {
        let page = format!("<!DOCTYPE html><title>Log in with {words}</title>");
        let outage = r#"whole: Unavailable("a web page instead of data")"#;
        assert_eq!(says(200, &page), outage);
        assert_eq!(says(200, &words.repeat(100)), outage);
    }
}
