//! Kraken: crypto-currencies, several pairs per request, without a key.
//!
//! The answer names pairs by Kraken's own names, `XXBTZUSD` for `XBTUSD`, and has no time: the
//! quote's is that of the answer. Everything comes with status 200. One unknown pair makes the
//! answer for a whole list an error that does not name it; then all pairs there are are requested.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::web::fields::{self, Field};
use super::web::{Api, Fault, Found, Received, Request, is_name, list, tolerant, url};
use super::{LimitScope, Limits, Refusal};
use crate::config::Secret;
use crate::market::{Quote, Symbol};

/// About one request a second from one address. The number of pairs in a request is not
/// documented; fifty fit into any URL.
pub(crate) const LIMITS: Limits = Limits {
    per_second: Some(1),
    max_concurrent: 1,
    ..Limits::unlimited(50)
};

/// How long after a request the next one may be sent.
const PAUSE: Duration = Duration::from_secs(1);
/// The units in which pairs are priced, as they end a pair's name; the longer ones first.
const UNITS: [&str; 14] = [
    "PYUSD", "USDT", "USDC", "USDQ", "USD", "EUR", "GBP", "CAD", "AUD", "CHF", "JPY", "XBT", "ETH",
    "DAI",
];

/// The API of Kraken.
#[derive(Debug)]
pub(super) struct Kraken;

#[derive(Deserialize)]
struct Errors {
    error: Vec<String>,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    /// The last trade: its price and its volume.
    #[serde(borrow)]
    c: Field<'a>,
}

impl Api for Kraken {
    fn may_exist(&self, symbol: &str) -> bool {
        is_name(symbol, b"./")
    }

    fn request(&self, base: &Url, _: Option<&Secret>, symbols: &[&Symbol]) -> Request {
        let mut url = url(base, ["0", "public", "Ticker"]);
        url.query_pairs_mut().append_pair("pair", &list(symbols));
        Request::to(url)
    }

    fn everything(&self, base: &Url) -> Option<(Duration, Request)> {
        let url = url(base, ["0", "public", "Ticker"]);
        Some((PAUSE, Request::to(url)))
    }

    fn read(&self, received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault> {
        if let Some(fault) = told(&received.body) {
            return Err(fault);
        }
        if let Some(fault) = Fault::of_status_without_key(received) {
            return Err(fault);
        }

        let pairs = pairs(&received.body).ok_or_else(Fault::shape)?;
        let mut found = Found::default();
        for pair in pairs {
            let Some((name, value)) = pair else {
                found.add_nameless();
                continue;
            };

            let asked = symbols
                .iter()
                .filter(|symbol| is_pair(&name, symbol.as_str()));
            asked.for_each(|symbol| found.add(symbol, quote(&name, value, symbol, received)));
        }

        Ok(found)
    }
}

/// The fault in the list of errors. Warnings, which start with a W, come with a result.
fn told(body: &str) -> Option<Fault> {
    let errors = serde_json::from_str::<Errors>(body).ok()?.error;
    let error = errors.into_iter().find(|error| error.starts_with('E'))?;
    let is = |part: &str| error.contains(part);

    Some(match () {
        () if is("Unknown asset pair") => Fault::Unknown,
        () if is("Too many requests") || is("Rate limit") => Fault::RateLimited {
            retry_after: None,
            scope: Some(LimitScope::Address),
        },
        () if is("Permission denied") => Fault::NotAllowed(Refusal::Blocked),
        () if is("EService") => Fault::Unavailable("its service is down or busy".to_owned()),
        () => Fault::Unavailable("an error of its own".to_owned()),
    })
}

/// The names and tickers in the object `result`.
fn pairs(body: &str) -> Option<Vec<Option<(String, &str)>>> {
    let (_, result) = body.split_once("\"result\"")?;
    let result = result.trim_start().strip_prefix(':')?.trim();

    // In an answer that is cut off, the last brace is not the document's.
    let sound = |pairs: &Vec<Option<_>>| pairs.iter().flatten().count();
    let cut_off = tolerant::members(result);
    let whole = result.strip_suffix('}').and_then(tolerant::members);
    cut_off.into_iter().chain(whole).max_by_key(sound)
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
        timestamp: received.received_at,
    })
}

/// Whether Kraken calls the pair that was asked for as `asked` by this name. It takes `BTC` and
/// `DOGE` for the coins that it calls `XBT` and `XDG`.
fn is_pair(name: &str, asked: &str) -> bool {
    let asked = asked.to_ascii_uppercase().replace('/', "");
    let coins = [("BTC", "XBT"), ("DOGE", "XDG")];
    let spelled = coins.iter().find_map(|(usual, own)| {
        let rest = asked.strip_prefix(usual)?;
        Some(format!("{own}{rest}"))
    });

    let is = |asked: &str| name == asked || plain(name) == asked;
    is(&asked) || spelled.is_some_and(|asked| is(&asked))
}

/// The name without the letters X, of a coin, and Z, of a currency, before names of three letters:
/// `XXBTZUSD` is `XBTUSD`, and `USDTZUSD` is `USDTUSD`.
fn plain(name: &str) -> String {
    let name = name.replace('/', "");
    let Some((base, unit)) = split(&name) else {
        return name;
    };

    let base = match base.as_bytes() {
        [b'X' | b'Z', _, _, _] => &base[1..],
        _ => base,
    };
    format!("{base}{unit}")
}

fn unit(name: &str) -> Option<&str> {
    split(name).map(|(_, unit)| unit)
}

/// A pair's name as its two parts, the second one without the letter before it.
fn split(name: &str) -> Option<(&str, &str)> {
    let unit = UNITS.into_iter().find_map(|unit| {
        let base = name.strip_suffix(unit)?;
        (!base.is_empty()).then_some((base, &name[base.len()..]))
    });
    let (base, unit) = unit?;

    // Only names of eight letters have a letter before the second part: X or Z, four letters each.
    let legacy = name.len() == 8 && base.len() == 5;
    let stripped = base.strip_suffix(['X', 'Z']).filter(|_| legacy);
    Some((stripped.unwrap_or(base), unit))
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
            ("XDGUSD", "DOGEUSD", Some("USD")),
            ("USDTZUSD", "USDTUSD", Some("USD")),
            ("ZEURZUSD", "EURUSD", Some("USD")),
            ("SOLUSD", "SOLUSD", Some("USD")),
            ("XBTUSDT", "BTCUSDT", Some("USDT")),
            ("WBTCUSD", "WBTCUSD", Some("USD")),
            ("SOLXYZ", "SOLXYZ", None),
        ] {
            assert!(is_pair(name, asked), "{name} {asked}");
            assert_eq!(unit(name), currency, "{name}");
        }

        assert!(!is_pair("XXBTZUSD", "XBTEUR"));
        assert!(!is_pair("XXBTZUSD", "ETHUSD"));
        assert!(!is_pair("XBTUSDT", "XBTUSD"));
    }
}
