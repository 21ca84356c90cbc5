//! Kraken: crypto-currencies, several pairs per request, without a key.
//!
//! The answer names pairs by Kraken's own names, `XXBTZUSD` for `XBTUSD`, and has no time: the
//! quote's is the time of asking. Everything comes with status 200. One unknown pair makes the
//! answer for a whole list an error that does not name it; then all pairs there are are requested.

use chrono::DateTime;
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::web::fields::{self, Field};
use super::web::{Api, Fault, Found, Received, Request, is_name, list, retry_after, tolerant, url};
use super::{LimitScope, Limits, MarketHours, Refusal};
use crate::config::Secret;
use crate::market::{Quote, Symbol};

/// About one request a second from one address. The number of pairs in a request is not
/// documented; fifty fit into any URL.
pub(crate) const LIMITS: Limits = Limits {
    per_second: Some(1),
    max_concurrent: 1,
    ..Limits::unlimited(50)
};

/// The units in which pairs are priced, as they end a pair's name; the longer ones first.
const UNITS: [&str; 15] = [
    "PYUSD", "USDT", "USDC", "USDQ", "USD", "EUR", "GBP", "CAD", "AUD", "CHF", "JPY", "XBT", "BTC",
    "ETH", "DAI",
];
/// The coins whose names in old pairs begin with an X: `XXBT`.
const OLD_COINS: [&str; 14] = [
    "ETC", "ETH", "ICN", "LTC", "MLN", "NMC", "REP", "XBT", "XDG", "XLM", "XMR", "XRP", "XVN",
    "ZEC",
];
/// The currencies whose names in old pairs begin with a Z: `ZUSD`.
const OLD_CURRENCIES: [&str; 7] = ["AUD", "CAD", "EUR", "GBP", "JPY", "KRW", "USD"];

/// The API of Kraken.
#[derive(Debug)]
pub(super) struct Kraken;

#[derive(Deserialize)]
struct Errors {
    error: Vec<String>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    /// The last trade: its price and its volume.
    #[serde(borrow)]
    c: Field<'a>,
}

impl Api for Kraken {
    fn market_hours(&self) -> MarketHours {
        MarketHours::AlwaysOpen
    }

    fn may_exist(&self, symbol: &str) -> bool {
        is_name(symbol, b"./")
    }

    fn request(&self, base: &Url, _: Option<&Secret>, symbols: &[&Symbol]) -> Request {
        let mut url = url(base, ["0", "public", "Ticker"]);
        url.query_pairs_mut().append_pair("pair", &list(symbols));
        Request::to(url)
    }

    fn everything(&self, base: &Url) -> Option<Request> {
        let url = url(base, ["0", "public", "Ticker"]);
        Some(Request::to(url))
    }

    fn read(&self, received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault> {
        if let Some(fault) = told(received) {
            return Err(fault);
        }
        if let Some(fault) = Fault::of_status_without_key(received) {
            return Err(fault);
        }

        let pairs = pairs(&received.body).ok_or_else(Fault::shape)?;
        let mut found = Found::default();
        if pairs.iter().any(Option::is_none) {
            found.add_nameless();
        }

        for symbol in symbols {
            // Another name counts only if no pair has the one before it.
            let of_name = |name: String| {
                let mut pairs = pairs.iter().flatten();
                pairs.any(|(own, _)| *own == name).then_some(name)
            };
            let Some(name) = names(symbol.as_str()).into_iter().find_map(of_name) else {
                continue;
            };

            let so_called = pairs.iter().flatten().filter(|(own, _)| *own == name);
            so_called.for_each(|(_, value)| {
                found.add(symbol, quote(&name, value, symbol, received));
            });
        }

        Ok(found)
    }
}

/// The fault in the list of errors. Warnings, which start with a W, come with a result.
fn told(received: &Received) -> Option<Fault> {
    let errors = serde_json::from_str::<Errors>(&received.body).ok()?.error;
    let error = errors.into_iter().find(|error| error.starts_with('E'))?;
    let is = |part: &str| error.contains(part);

    Some(match () {
        () if is("Unknown asset pair") => Fault::Unknown,
        () if is("Throttled") => throttled(&error, received),
        () if is("Too many requests") || is("Rate limit") || is("lockout") => {
            Fault::limited(received, LimitScope::Address)
        }
        () if is("Permission denied") => Fault::NotAllowed(Refusal::Blocked),
        () if is("EService") || is("Internal error") => {
            Fault::Unavailable("its service is down or busy".to_owned())
        }
        () => Fault::reported(),
    })
}

/// The limit of an error such as `EService:Throttled: 1767625260`, which lasts until that time, in
/// seconds since 1970.
fn throttled(error: &str, received: &Received) -> Fault {
    let end = error
        .rsplit_once(':')
        .and_then(|(_, end)| end.trim().parse().ok());
    let end = end.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let wait = end.and_then(|end| (end - received.received_at).to_std().ok());

    Fault::RateLimited {
        retry_after: wait
            .map(retry_after::within_reason)
            .or(received.retry_after),
        scope: Some(LimitScope::Address),
    }
}

/// The names and tickers in the object `result`.
fn pairs(body: &str) -> Option<Vec<Option<(String, &str)>>> {
    if let Ok(Document { result }) = serde_json::from_str(body) {
        return tolerant::members(result.get(), is_pair);
    }

    let (_, result) = body.split_once("\"result\"")?;
    let result = result.trim_start().strip_prefix(':')?.trim();

    // In an answer that is cut off, the last brace is not the document's.
    let sound = |pairs: &Vec<Option<_>>| pairs.iter().flatten().count();
    let members = |result| tolerant::members(result, is_pair);
    let cut_off = members(result);
    let whole = result.strip_suffix('}').and_then(members);
    cut_off.into_iter().chain(whole).max_by_key(sound)
}

/// Whether a member may be a pair. The fields of a ticker have names of one small letter.
fn is_pair(name: &str) -> bool {
    !name.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn quote(name: &str, ticker: &str, symbol: &Symbol, received: &Received) -> Result<Quote, Fault> {
    let ticker: Ticker<'_> = serde_json::from_str(ticker).map_err(|_| Fault::entry(symbol))?;
    let last = ticker
        .c
        .map(|last| serde_json::from_str::<Vec<_>>(last.get()));
    let Some(Ok(last)) = last else {
        return Err(Fault::NoPrice("it has none".to_owned()));
    };

    Ok(Quote {
        symbol: symbol.clone(),
        price: fields::price(last.first().copied())?,
        currency: unit(name).and_then(|unit| unit.parse().ok()),
        timestamp: received.asked_at,
    })
}

/// The names that Kraken may have for the pair that was asked for, the asked one first. It takes
/// `BTC` and `DOGE` for the coins that it calls `XBT` and `XDG`. In old pairs, the coins and
/// currencies of [`OLD_COINS`] and [`OLD_CURRENCIES`] have four letters: `XXBTZUSD` is `XBTUSD`,
/// and `USDTZUSD` is `USDTUSD`.
fn names(asked: &str) -> Vec<String> {
    let asked = asked.to_ascii_uppercase();
    let joined = asked.replace('/', "");
    let mut names = vec![asked, joined.clone()];

    if let Some((base, unit)) = split(&joined) {
        let (base, unit) = (own(base), own(unit));
        names.push(format!("{base}{unit}"));
        names.push(format!("{}{}", old(base), old(unit)));
        names.push(format!("{base}{}", old(unit)));
    }
    names
}

/// Kraken's name of a coin that others call otherwise.
fn own(name: &str) -> &str {
    match name {
        "BTC" => "XBT",
        "DOGE" => "XDG",
        other => other,
    }
}

/// The name of a coin or a currency in old pairs.
fn old(name: &str) -> String {
    let letter = match name {
        coin if OLD_COINS.contains(&coin) => "X",
        currency if OLD_CURRENCIES.contains(&currency) => "Z",
        _ => "",
    };
    format!("{letter}{name}")
}

/// The unit of a pair, which ends its name.
fn unit(name: &str) -> Option<&str> {
    split(name).map(|(_, unit)| unit)
}

/// A pair's name as its two parts. The first one of an old pair has the second one's letter.
fn split(name: &str) -> Option<(&str, &str)> {
    UNITS.into_iter().find_map(|unit| {
        let base = name.strip_suffix(unit)?;
        (!base.is_empty()).then_some((base, &name[base.len()..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_known_by_its_own_name_and_by_the_short_one() {
        for (name, asked, currency) in [
            ("XXBTZUSD", "XBTUSD", Some("USD")),
            ("XXBTZUSD", "XXBTZUSD", Some("USD")),
            ("XXBTZUSD", "BTC/USD", Some("USD")),
            ("XETHXXBT", "ETHXBT", Some("XBT")),
            ("XETHXXBT", "ETH/BTC", Some("XBT")),
            ("XDGUSD", "DOGEUSD", Some("USD")),
            ("USDTZUSD", "USDTUSD", Some("USD")),
            ("ZEURZUSD", "EURUSD", Some("USD")),
            ("SOLUSD", "solusd", Some("USD")),
            ("XBTUSDT", "BTCUSDT", Some("USDT")),
            ("WBTCUSD", "WBTCUSD", Some("USD")),
            ("SOLXYZ", "SOLXYZ", None),
        ] {
            assert!(
                names(asked).iter().any(|known| known == name),
                "{name} {asked}"
            );
            assert_eq!(unit(name), currency, "{name}");
        }
    }

    #[test]
    fn a_pair_is_not_known_by_another_pair_s_name() {
        for (name, asked) in [
            ("XXBTZUSD", "XBTEUR"),
            ("XXBTZUSD", "ETHUSD"),
            ("XBTUSDT", "XBTUSD"),
            ("ZETAUSD", "ETAUSD"),
            ("ZETAUSDT", "ETAUSDT"),
            ("XCNUSD", "CNUSD"),
            ("XTZUSD", "TZUSD"),
            ("XPRTUSD", "PRTUSD"),
        ] {
            assert!(
                !names(asked).iter().any(|known| known == name),
                "{name} {asked}"
            );
        }
    }
}
