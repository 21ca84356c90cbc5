//! Yahoo Finance, through the two endpoints that need neither an account nor a cookie: the chart of
//! one symbol, and the sparklines of up to twenty. Only the current price, its time and its
//! currency are read.
//!
//! Yahoo limits the rate of each IP address, and seldom says for how long. After an answer that
//! reports a limit, requests fail here without being sent until the limit ends: further requests
//! would only prolong it.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::Utc;
use reqwest::{Client, Url};

use super::{Answer, LimitScope, Limits, Provider, ProviderError, REQUEST_TIMEOUT, Refusal};
use crate::market::{ProviderName, Quote, Symbol, Timestamp, to_microseconds};

mod answer;
mod entry;
mod rate_limit;
mod tolerant;
mod transport;

use answer::Fault;
use entry::{Entry, Trouble, is_chart_of};
use rate_limit::RateLimit;

/// Yahoo documents no limits, and refuses only more than 20 symbols in a request. It blocks
/// addresses that ask for much longer than a second apart, and more than about six connections.
const LIMITS: Limits = Limits {
    per_second: Some(4),
    per_minute: Some(60),
    max_concurrent: 4,
    ..Limits::unlimited(20)
};

/// The provider `yahoo`.
#[derive(Debug)]
pub struct Yahoo {
    name: ProviderName,
    base_url: String,
    user_agent: String,
    timeout: Duration,
    /// The API's URL and the HTTP client, or the fault that prevented them. They are created for
    /// the first request, because loading certificates would delay each start of a function.
    endpoint: OnceLock<Result<(Url, Client), Fault>>,
    rate_limit: RateLimit,
}

impl Yahoo {
    /// A client of the API at `base_url`, which sends `user_agent`. It opens no connection before
    /// the first request.
    #[must_use]
    pub fn new(base_url: &str, user_agent: &str) -> Self {
        Self::with_timeout(base_url, user_agent, REQUEST_TIMEOUT)
    }

    fn with_timeout(base_url: &str, user_agent: &str, timeout: Duration) -> Self {
        Self {
            name: super::name(super::YAHOO),
            base_url: base_url.to_owned(),
            user_agent: user_agent.to_owned(),
            timeout,
            endpoint: OnceLock::new(),
            rate_limit: RateLimit::default(),
        }
    }

    /// Sends one request and reads the answer, unless a limit is in force.
    async fn ask(&self, symbols: &[&Symbol]) -> Result<Body, Fault> {
        if let Some(rest) = self.rate_limit.remaining(Instant::now()) {
            return Err(Fault::RateLimited {
                retry_after: Some(rest),
            });
        }

        let open = || transport::endpoint(&self.base_url, &self.user_agent, self.timeout);
        let (base_url, client) = self
            .endpoint
            .get_or_init(open)
            .as_ref()
            .map_err(Clone::clone)?;

        let response = transport::get(client, address(base_url, symbols)).await?;
        let received_at = to_microseconds(Utc::now());

        let quotes = match answer::read(response.status, &tolerant::readable(&response.body)) {
            Ok(entries) => Quotes::of(&entries, symbols, received_at),
            Err(Fault::RateLimited { .. }) => {
                let told = rate_limit::told(response.retry_after.as_deref(), received_at);
                let wait = told.unwrap_or(rate_limit::UNTOLD);
                self.rate_limit.begin(Instant::now(), wait);
                return Err(Fault::RateLimited { retry_after: told });
            }
            Err(fault) => return Err(fault),
        };

        Ok(Body {
            received_at,
            text: response.body,
            quotes,
        })
    }

    fn error(&self, fault: Fault) -> ProviderError {
        let provider = self.name.clone();
        match fault {
            Fault::RateLimited { retry_after } => ProviderError::RateLimited {
                provider,
                retry_after,
                scope: Some(LimitScope::Address),
            },
            Fault::Denied => ProviderError::NotAllowed {
                provider,
                refusal: Refusal::Blocked,
            },
            Fault::TimedOut => ProviderError::TimedOut { provider },
            Fault::Unavailable(reason) => ProviderError::Unavailable { provider, reason },
            Fault::Malformed(reason) => ProviderError::Malformed { provider, reason },
        }
    }

    /// The quote of `symbol` in `body`, or its error. A symbol without an entry is unknown to
    /// Yahoo.
    fn verdict(&self, symbol: &Symbol, body: &Body) -> Result<Quote, ProviderError> {
        let (provider, symbol) = (self.name.clone(), symbol.clone());
        let unreadable = || format!("its entry for {symbol}");

        match body.quotes.of_symbols.get(&symbol) {
            Some(Ok(quote)) => Ok(quote.clone()),
            Some(Err(Trouble::NoPrice(reason))) => Err(ProviderError::NoPrice {
                reason: reason.clone(),
                symbol,
                provider,
            }),
            Some(Err(Trouble::Unreadable)) => Err(ProviderError::Malformed {
                reason: unreadable(),
                provider,
            }),
            Some(Err(Trouble::Contradictory)) => {
                let reason = format!("two entries for {symbol} differ");
                Err(ProviderError::Malformed { reason, provider })
            }
            None if body.quotes.has_nameless => Err(ProviderError::Malformed {
                reason: unreadable(),
                provider,
            }),
            None => Err(ProviderError::UnknownSymbol { symbol, provider }),
        }
    }
}

/// A complete response and the quotes in it.
struct Body {
    received_at: Timestamp,
    text: String,
    quotes: Quotes,
}

/// The quotes and faults in a response, by symbol.
#[derive(Default)]
struct Quotes {
    of_symbols: HashMap<Symbol, Result<Quote, Trouble>>,
    /// Whether an entry names no symbol. If so, a symbol without an entry is not necessarily
    /// unknown.
    has_nameless: bool,
}

impl Quotes {
    fn of(entries: &[Entry<'_>], asked: &[&Symbol], received_at: Timestamp) -> Self {
        let mut quotes = Self::default();

        for entry in entries {
            let symbol = match (&entry.symbol, asked) {
                (Some(named), [asked]) if is_chart_of(named, asked) => asked,
                (Some(named), _) => named,
                (None, _) => {
                    quotes.has_nameless = true;
                    continue;
                }
            };

            let quote = entry.quote(symbol, received_at);
            quotes.add(symbol, quote);
        }

        quotes
    }

    /// Adds an entry's quote. Of several entries for one symbol, those with a quote count. If two
    /// quotes differ, neither is used, because nothing shows which one is true.
    fn add(&mut self, symbol: &Symbol, quote: Result<Quote, Trouble>) {
        let known = self
            .of_symbols
            .entry(symbol.clone())
            .or_insert_with(|| quote.clone());

        match (&*known, &quote) {
            (Ok(one), Ok(other)) if one != other => *known = Err(Trouble::Contradictory),
            (Ok(_) | Err(Trouble::Contradictory), _) => {}
            (Err(_), _) => *known = quote,
        }
    }
}

#[async_trait]
impl Provider for Yahoo {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    async fn fetch(&self, symbols: &[Symbol], _at: Timestamp) -> Result<Answer, ProviderError> {
        let askable: Vec<&Symbol> = symbols
            .iter()
            .filter(|symbol| may_exist(symbol.as_str()))
            .collect();

        let body = if askable.is_empty() {
            Body {
                received_at: to_microseconds(Utc::now()),
                text: String::new(),
                quotes: Quotes::default(),
            }
        } else {
            self.ask(&askable)
                .await
                .map_err(|fault| self.error(fault))?
        };

        let quotes = symbols
            .iter()
            .map(|symbol| (symbol.clone(), self.verdict(symbol, &body)))
            .collect();

        Ok(Answer {
            received_at: body.received_at,
            requests: u32::from(!askable.is_empty()),
            body: body.text,
            quotes,
        })
    }
}

/// Whether Yahoo may have this symbol. Others are never requested: a comma would split a symbol in
/// two, and `..` or a slash would change the URL's path.
fn may_exist(symbol: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".^=_&-".contains(&byte);
    symbol.bytes().all(fits) && symbol.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// The URL of the smallest answer that contains the current prices.
fn address(base_url: &Url, symbols: &[&Symbol]) -> Url {
    let mut url = base_url.clone();

    // An `http` or `https` URL always has path segments.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty();
        match symbols {
            [symbol] => path.extend(["v8", "finance", "chart", symbol.as_str()]),
            _ => path.extend(["v7", "finance", "spark"]),
        };
    }

    if symbols.len() > 1 {
        let list = symbols
            .iter()
            .map(|symbol| symbol.as_str())
            .collect::<Vec<_>>()
            .join(",");
        url.query_pairs_mut().append_pair("symbols", &list);
    }
    url.query_pairs_mut()
        .append_pair("range", "1d")
        .append_pair("interval", "1d");

    url
}

#[cfg(test)]
mod tests;
