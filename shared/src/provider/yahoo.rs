//! Yahoo Finance, through the two endpoints that need neither an account nor a cookie: the chart of
//! one symbol, and the sparklines of up to twenty. Only the current price, its time, its currency
//! and the trading period are read.
//!
//! Yahoo limits the rate of each IP address, and rarely says for how long.

use std::sync::Arc;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, USER_AGENT};

use super::web::{
    Api, Fault, Found, HttpClient, Received, Request, Web, is_name, list, tolerant, url,
};
use super::{Limits, MarketHours, YAHOO};
use crate::config::{Secret, Source};
use crate::market::{Symbol, Trading};

mod answer;
mod entry;

use entry::{Entry, is_chart_of};

/// Yahoo documents no limits but the 20 symbols of a request. It blocks addresses that send more
/// than about one request a second for long, and refuses more than about eight connections.
pub(crate) const LIMITS: Limits = Limits {
    per_second: Some(4),
    per_minute: Some(60),
    max_concurrent: 4,
    ..Limits::unlimited(20)
};

/// The API of Yahoo.
#[derive(Debug)]
pub(super) struct Yahoo {
    /// Yahoo rejects clients without one that looks like a browser's.
    user_agent: String,
}

impl Yahoo {
    /// The provider `yahoo`, which sends `user_agent`.
    pub(super) fn provider(user_agent: &str, source: Source, http: Arc<HttpClient>) -> Web<Self> {
        let user_agent = user_agent.to_owned();
        Web::new(YAHOO, Self { user_agent }, source, http)
    }
}

impl Api for Yahoo {
    fn may_exist(&self, symbol: &str) -> bool {
        is_name(symbol, b".^=_&-")
    }

    /// The smallest answer that contains the current prices.
    fn request(&self, base: &Url, _: Option<&Secret>, symbols: &[&Symbol]) -> Request {
        let mut url = match symbols {
            [symbol] => url(base, ["v8", "finance", "chart", symbol.as_str()]),
            _ => url(base, ["v7", "finance", "spark"]),
        };

        if symbols.len() > 1 {
            url.query_pairs_mut().append_pair("symbols", &list(symbols));
        }
        url.query_pairs_mut()
            .append_pair("range", "1d")
            .append_pair("interval", "1d");

        // The configuration refuses a text that cannot be in a header.
        let user_agent = HeaderValue::from_str(&self.user_agent);
        let headers = user_agent.into_iter().map(|value| (USER_AGENT, value));
        Request {
            url,
            headers: HeaderMap::from_iter(headers),
        }
    }

    fn read(&self, received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault> {
        let body = tolerant::readable(&received.body);
        let mut found = Found::default();

        for entry in answer::read(received, &body)? {
            match symbol_of(&entry, symbols) {
                Some(symbol) => found.add(symbol, entry.quote(symbol, received.received_at)),
                None => found.add_nameless(),
            }
        }

        Ok(found)
    }

    fn market_hours(&self) -> MarketHours {
        MarketHours::Told
    }

    fn trading(&self, body: &str, symbols: &[&Symbol]) -> Vec<(Symbol, Trading)> {
        let body = tolerant::readable(body);
        let entries = answer::entries(&body).unwrap_or_default();
        let trading = |entry: &Entry<'_>| {
            let symbol = symbol_of(entry, symbols)?;
            Some((symbol.clone(), entry.trading()))
        };
        entries.iter().filter_map(trading).collect()
    }
}

/// The symbol that an entry is about: the one that was asked for, if its chart is that one's.
fn symbol_of<'a>(entry: &'a Entry<'_>, asked: &[&'a Symbol]) -> Option<&'a Symbol> {
    match (&entry.symbol, asked) {
        (Some(named), [asked]) if is_chart_of(named, asked) => Some(asked),
        (named, _) => named.as_ref(),
    }
}

#[cfg(test)]
mod tests;
