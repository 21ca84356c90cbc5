//! Reads Yahoo's answers. The body decides before the status: the same trouble comes with several of them, and the
//! outage page comes with 200.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::market::{Currency, Quote, Symbol, Timestamp};
use crate::price::Price;

/// How far a quote's time may lie ahead of our clock before it is no time of a trade.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// Yahoo's own status for clients it has had enough of.
const REQUEST_DENIED: u16 = 999;

/// Why there is no answer to read quotes from; the texts are safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    RateLimited { retry_after: Option<Duration> },
    TimedOut,
    Unavailable(String),
    Malformed(String),
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    chart: Option<Envelope<Chart<'a>>>,
    #[serde(borrow)]
    spark: Option<Envelope<Spark<'a>>>,
    /// Where errors come that concern no address in particular.
    finance: Option<Envelope<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<Vec<T>>,
    error: Option<EnvelopeError>,
}

#[derive(Deserialize)]
struct EnvelopeError {
    code: Option<String>,
}

#[derive(Deserialize)]
struct Chart<'a> {
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Spark<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    response: Option<Vec<Chart<'a>>>,
}

/// What an answer says of one symbol. Any of it may be missing or of an odd kind (prices as the text `"Infinity"`),
/// which concerns that symbol alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'a> {
    #[serde(borrow)]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
    #[serde(borrow)]
    regular_market_price: Option<&'a RawValue>,
    #[serde(borrow)]
    regular_market_time: Option<&'a RawValue>,
}

/// Reads a response; symbols that Yahoo does not know are left out.
pub(super) fn read(status: StatusCode, body: &str) -> Result<Vec<Meta<'_>>, Fault> {
    let json = body.trim_start().starts_with('{');
    let denied = status == StatusCode::TOO_MANY_REQUESTS || status.as_u16() == REQUEST_DENIED;
    if denied || (!json && body.contains("Too Many Requests")) {
        return Err(Fault::RateLimited { retry_after: None });
    }
    if !json {
        return Err(not_json(status));
    }
    let document: Document<'_> = match serde_json::from_str(body) {
        Ok(document) => document,
        Err(_) if status.is_success() => return Err(Fault::Malformed("JSON of another shape".to_owned())),
        Err(_) => return Err(Fault::Unavailable(format!("HTTP status {}", status.as_u16()))),
    };
    match document {
        Document { chart: Some(chart), .. } => {
            Ok(chart.open(status)?.into_iter().filter_map(|chart| chart.meta).collect())
        }
        Document { spark: Some(spark), .. } => {
            Ok(spark.open(status)?.into_iter().filter_map(Spark::into_meta).collect())
        }
        Document { finance: Some(finance), .. } => finance.open(status).map(|_| Vec::new()),
        _ if status.is_success() => Err(Fault::Malformed("JSON of another shape".to_owned())),
        _ => Err(Fault::Unavailable(format!("HTTP status {}", status.as_u16()))),
    }
}

/// A web page or a line of text: from the edge, during an outage, or where a redirection was not followed.
fn not_json(status: StatusCode) -> Fault {
    match status.as_u16() {
        200..=299 => Fault::Unavailable("a web page instead of data".to_owned()),
        300..=399 => Fault::Unavailable("it sends us elsewhere".to_owned()),
        code => Fault::Unavailable(format!("HTTP status {code}")),
    }
}

impl<T> Envelope<T> {
    fn open(self, status: StatusCode) -> Result<Vec<T>, Fault> {
        let code = self.error.map(|error| error.code.unwrap_or_default());
        match code.as_deref() {
            Some("Not Found") => Ok(Vec::new()),
            Some("Too Many Requests") => Err(Fault::RateLimited { retry_after: None }),
            Some("Unauthorized" | "Forbidden") => Err(Fault::Unavailable("it denies us access".to_owned())),
            Some(_) => {
                Err(Fault::Unavailable(format!("an error of its own, HTTP status {}", status.as_u16())))
            }
            None if !status.is_success() => {
                Err(Fault::Unavailable(format!("HTTP status {}", status.as_u16())))
            }
            None => self.result.ok_or_else(|| Fault::Malformed("neither result nor error".to_owned())),
        }
    }
}

impl<'a> Spark<'a> {
    /// The entry's own symbol is the one that was asked for.
    fn into_meta(self) -> Option<Meta<'a>> {
        let charts = self.response.unwrap_or_default();
        let meta = charts.into_iter().find_map(|chart| chart.meta)?;
        Some(Meta { symbol: Some(self.symbol), ..meta })
    }
}

impl Meta<'_> {
    /// The symbol and its quote, or what is wrong with it; nothing without a symbol.
    pub(super) fn quote(&self, received_at: Timestamp) -> Option<(Symbol, Result<Quote, String>)> {
        let symbol = self.symbol.as_deref()?.parse::<Symbol>().ok()?.to_upper_case();
        let quote = self.price().and_then(|price| {
            let timestamp = self.market_time(received_at)?;
            Ok(Quote { symbol: symbol.clone(), price, currency: self.currency(), timestamp })
        });
        Some((symbol, quote))
    }

    /// The price as its digits say: no float comes between.
    fn price(&self) -> Result<Price, String> {
        let text = self.regular_market_price.ok_or("it has none")?.get();
        text.parse().map_err(|error| format!("its price {error}"))
    }

    fn market_time(&self, received_at: Timestamp) -> Result<Timestamp, String> {
        let text = self.regular_market_time.ok_or("it has no market time")?.get();
        let time = text.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let plausible =
            |time: &Timestamp| *time > DateTime::UNIX_EPOCH && *time <= received_at + CLOCK_TOLERANCE;
        time.filter(plausible).ok_or_else(|| "its market time is not in the past".to_owned())
    }

    fn currency(&self) -> Option<Currency> {
        serde_json::from_str(self.currency?.get()).ok()
    }
}
