//! Alpha Vantage: the last daily price of one symbol per request. The key can only be sent in the
//! URL, and the answer may repeat it.
//!
//! Failures come with status 200, so the words count before the status. The quote names a day and
//! no time: see [`quote_time`]. It has no currency.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Utc, Weekday};
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::web::fields::{self, Field};
use super::web::{Api, Fault, Found, Received, Request, is_name, url};
use super::{LimitScope, Limits, Refusal};
use crate::config::Secret;
use crate::market::{Quote, Symbol, Timestamp};

/// The free plan's: 25 requests a day, and one a second.
pub(crate) const LIMITS: Limits = Limits {
    per_second: Some(1),
    per_day: Some(25),
    max_concurrent: 1,
    ..Limits::unlimited(1)
};

/// When the exchanges in New York close, in hours of their clocks.
const CLOSE_HOUR: u32 = 16;

/// The API of Alpha Vantage.
#[derive(Debug)]
pub(super) struct AlphaVantage;

/// The members of an answer, by name.
type Body<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

#[derive(Deserialize)]
struct GlobalQuote<'a> {
    #[serde(rename = "01. symbol", borrow)]
    symbol: Field<'a>,
    #[serde(rename = "05. price", borrow)]
    price: Field<'a>,
    #[serde(rename = "07. latest trading day", borrow)]
    day: Field<'a>,
}

impl Api for AlphaVantage {
    fn may_exist(&self, symbol: &str) -> bool {
        is_name(symbol, b".-:^=/")
    }

    fn request(&self, base: &Url, key: Option<&Secret>, symbols: &[&Symbol]) -> Request {
        let mut url = url(base, ["query"]);
        url.query_pairs_mut()
            .append_pair("function", "GLOBAL_QUOTE")
            .append_pair("symbol", symbols[0].as_str())
            .append_pair("apikey", key.map_or("", Secret::expose));

        Request::to(url)
    }

    fn read(&self, received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault> {
        let body = serde_json::from_str::<Body<'_>>(&received.body).ok();
        match body.as_ref().and_then(|body| told(body, received)) {
            Some(Fault::Unknown) => return Ok(Found::default()),
            Some(fault @ Fault::Malformed(_)) => {
                return Err(Fault::of_status(received).unwrap_or(fault));
            }
            Some(fault) => return Err(fault),
            None => {}
        }
        if let Some(fault) = Fault::of_status(received) {
            return Err(fault);
        }

        // Delayed quotes come under a longer name that says so.
        let body = body.ok_or_else(Fault::shape)?;
        let is_quote = |name: &str| name.starts_with("Global Quote");
        let quote = body.iter().find(|(name, _)| is_quote(name));
        let (_, quote) = quote.ok_or_else(Fault::shape)?;
        let quote = read_quote(quote, symbols[0], received);
        Ok(Found::one(symbols[0], quote))
    }
}

/// What the answer says in words.
fn told(body: &Body<'_>, received: &Received) -> Option<Fault> {
    let words = ["Error Message", "Information", "Note"]
        .into_iter()
        .find_map(|name| fields::text(body.get(name).copied()))?;
    let says = |part: &str| words.contains(part);
    let limited = |scope| Fault::limited(received, scope);

    // The text about bursts mentions the limit per day too, and that about the day the premium
    // plans.
    Some(match () {
        () if says("spreading out") || says("per second") => limited(LimitScope::Second),
        () if says("premium endpoint") => Fault::NotAllowed(Refusal::Plan),
        () if says("per minute") => limited(LimitScope::Minute),
        () if says("per day") => limited(LimitScope::Day),
        () if says("apikey") || says("demo") => Fault::NotAllowed(Refusal::KeyRefused),
        () if says("Invalid API call") => Fault::Unknown,
        () if says("premium") => Fault::NotAllowed(Refusal::Plan),
        () => Fault::reported(),
    })
}

/// The quote; an empty one means that the symbol is unknown.
fn read_quote(quote: &RawValue, symbol: &Symbol, received: &Received) -> Result<Quote, Fault> {
    let empty = quote
        .get()
        .bytes()
        .all(|byte| byte.is_ascii_whitespace() || b"{}".contains(&byte));
    if empty {
        return Err(Fault::Unknown);
    }

    let quote: GlobalQuote<'_> =
        serde_json::from_str(quote.get()).map_err(|_| Fault::entry(symbol))?;
    if fields::names_another(quote.symbol, symbol.as_str()) {
        return Err(Fault::of_another(symbol));
    }

    let day = fields::text(quote.day).and_then(|day| day.parse().ok());
    let time = day.and_then(|day| quote_time(day, received.asked_at));

    Ok(Quote {
        symbol: symbol.clone(),
        price: fields::price(quote.price)?,
        currency: None,
        timestamp: fields::market_time(time, received.received_at)?,
    })
}

/// The time of a quote of `day`: the time of asking during that day, and the day's close after it.
/// The close is that of New York, 16:00, for all exchanges and also on days with an early one.
///
/// A day that has not begun anywhere has no quotes.
fn quote_time(day: NaiveDate, asked_at: Timestamp) -> Option<Timestamp> {
    let begun = day <= (asked_at + TimeDelta::hours(14)).date_naive();
    if !begun {
        return None;
    }

    let close = new_york(day.and_hms_opt(CLOSE_HOUR, 0, 0)?);
    Some(close.min(asked_at))
}

/// A time of the day in New York, as clocks there have shown since 2007, in UTC.
fn new_york(time: NaiveDateTime) -> DateTime<Utc> {
    let sunday =
        |month, n| NaiveDate::from_weekday_of_month_opt(time.year(), month, Weekday::Sun, n);
    let summer = sunday(3, 2).is_some_and(|start| time.date() >= start)
        && sunday(11, 1).is_some_and(|end| time.date() < end);

    let behind = TimeDelta::hours(if summer { 4 } else { 5 });
    (time + behind).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_s_time_is_that_of_asking_until_new_york_closes_and_then_the_close() {
        let time = |day: &str, asked: &str| {
            quote_time(day.parse().unwrap(), asked.parse().unwrap()).map(|time| time.to_rfc3339())
        };
        for (day, asked, expected) in [
            (
                "2026-01-05",
                "2026-01-05T15:00:00Z",
                "2026-01-05T15:00:00+00:00",
            ),
            (
                "2026-01-05",
                "2026-01-05T21:00:01Z",
                "2026-01-05T21:00:00+00:00",
            ),
            (
                "2026-01-02",
                "2026-01-05T14:00:00Z",
                "2026-01-02T21:00:00+00:00",
            ),
            (
                "2026-07-06",
                "2026-07-07T00:00:00Z",
                "2026-07-06T20:00:00+00:00",
            ),
            // Clocks change on 8 March and 1 November 2026.
            (
                "2026-03-06",
                "2026-03-09T00:00:00Z",
                "2026-03-06T21:00:00+00:00",
            ),
            (
                "2026-03-09",
                "2026-03-10T00:00:00Z",
                "2026-03-09T20:00:00+00:00",
            ),
            (
                "2026-10-30",
                "2026-11-02T00:00:00Z",
                "2026-10-30T20:00:00+00:00",
            ),
            (
                "2026-11-02",
                "2026-11-03T00:00:00Z",
                "2026-11-02T21:00:00+00:00",
            ),
            // It is the next day in Tokyo already.
            (
                "2026-01-06",
                "2026-01-05T23:30:00Z",
                "2026-01-05T23:30:00+00:00",
            ),
        ] {
            assert_eq!(time(day, asked).as_deref(), Some(expected), "{day} {asked}");
        }

        assert_eq!(time("2026-01-07", "2026-01-05T23:30:00Z"), None);
    }
}
