//! What the providers behind an HTTP API have in common: one request, its limits, and its answer.
//!
//! Each such provider is an [`Api`]: data and pure functions. [`Web`] sends its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use chrono::Utc;
use reqwest::Url;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{Answer, Limits, MarketHours, Provider, ProviderError};
use crate::config::{Secret, Source};
use crate::market::{ProviderName, Symbol, Timestamp, Trading, to_microseconds};

mod client;
mod fault;
pub(super) mod fields;
mod found;
#[cfg(test)]
pub(super) mod mutation;
pub(super) mod retry_after;
pub(super) mod tolerant;
mod unknown;

#[cfg(test)]
pub(super) use client::text;
pub(super) use client::{HttpClient, Received, Request};
pub(super) use fault::Fault;
pub(super) use found::Found;
use unknown::UnknownSymbols;

/// Replaces our key in a stored response if the provider repeated it.
const HIDDEN_KEY: &str = "(key)";

/// A provider's HTTP API: how it is asked, and what its answers mean.
pub(super) trait Api: std::fmt::Debug + Send + Sync + 'static {
    /// Whether the provider may have this symbol. Others are never asked for, because they could
    /// change the request: a comma would split a symbol in two, and a slash would change a path.
    fn may_exist(&self, symbol: &str) -> bool;

    /// The request for the quotes of `symbols`, of which there is at least one.
    fn request(&self, base: &Url, key: Option<&Secret>, symbols: &[&Symbol]) -> Request;

    /// The request for all symbols that the provider has. It is sent where one unknown symbol makes
    /// the answer for a whole list [`Fault::Unknown`].
    fn everything(&self, _base: &Url) -> Option<Request> {
        None
    }

    /// The quotes in an answer to the request for `symbols`.
    ///
    /// # Errors
    /// If it holds no quote because of a fault that is not one of single symbols.
    fn read(&self, received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault>;

    /// Whether it says when markets are open.
    fn market_hours(&self) -> MarketHours {
        MarketHours::Unknown
    }

    /// The trading periods in an answer to the request for `symbols`.
    fn trading(&self, _body: &str, _symbols: &[&Symbol]) -> Vec<(Symbol, Trading)> {
        Vec::new()
    }
}

/// A provider behind an HTTP API.
#[derive(Debug)]
pub(super) struct Web<A> {
    name: ProviderName,
    api: A,
    source: Source,
    http: Arc<HttpClient>,
    unknown: UnknownSymbols,
    /// Redirections that were followed and not counted yet.
    redirections: AtomicU32,
}

impl<A: Api> Web<A> {
    pub(super) fn new(name: &'static str, api: A, source: Source, http: Arc<HttpClient>) -> Self {
        Self {
            name: super::name(name),
            api,
            source,
            http,
            unknown: UnknownSymbols::default(),
            redirections: AtomicU32::default(),
        }
    }

    fn base(&self) -> Result<Url, Fault> {
        let not_a_url = |_| Fault::Unavailable("its address is not a URL".to_owned());
        Url::parse(&self.source.base_url).map_err(not_a_url)
    }

    /// Asks for `symbols`, and returns the answer and the quotes in it.
    async fn ask(&self, symbols: &[&Symbol]) -> Result<(Received, Found), Fault> {
        let base = self.base()?;
        let request = self.api.request(&base, self.source.key.as_ref(), symbols);
        let received = self.http.get(request, &self.redirections).await?;

        match (self.read(&received, symbols), symbols) {
            (Err(Fault::Unknown), _) => Ok((received, Found::default())),
            (Err(fault), [only]) if fault.may_be_of_symbol() => {
                Ok((received, Found::one(only, Err(fault))))
            }
            (Err(fault), _) => Err(fault),
            (Ok(found), _) => Ok((received, found)),
        }
    }

    /// Asks for everything, and returns the answer and the quotes of `symbols` in it. Those that it
    /// lacks are unknown, and not asked for again for a while.
    async fn ask_for_all(&self, symbols: &[&Symbol]) -> Result<(Received, Found), Fault> {
        let Some(request) = self.api.everything(&self.base()?) else {
            return self.ask(symbols).await;
        };
        let received = self.http.get(request, &self.redirections).await?;
        let found = match self.read(&received, symbols) {
            // The request names no symbol, so none of it can be unknown.
            Err(Fault::Unknown) => return Err(Fault::reported()),
            found => found?,
        };

        let now = Instant::now();
        let unknown = symbols
            .iter()
            .filter(|symbol| found.of(symbol) == Err(Fault::Unknown));
        unknown.for_each(|symbol| self.unknown.add(symbol, now));
        Ok((received, found))
    }

    /// Reads an answer. If every entry reports the same limit or refusal, the whole answer is that
    /// fault.
    fn read(&self, received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault> {
        let found = self.api.read(received, symbols);
        let found = found.map_err(|fault| fault.with_its_end(received))?;
        found.common_fault().map_or(Ok(found), Err)
    }

    /// Whether the provider is asked for this symbol.
    fn is_askable(&self, symbol: &Symbol, now: Instant) -> bool {
        self.api.may_exist(symbol.as_str()) && !self.unknown.contains(symbol, now)
    }

    /// The body as it is stored: without our key, which some providers repeat.
    fn without_key(&self, mut body: String) -> String {
        let Some(key) = &self.source.key else {
            return body;
        };

        for form in forms(key.expose()) {
            if body.contains(&form) {
                body = body.replace(&form, HIDDEN_KEY);
            }
        }
        body
    }
}

#[async_trait]
impl<A: Api> Provider for Web<A> {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.source.limits
    }

    fn needs(&self) -> Option<&'static str> {
        self.source.needs
    }

    fn key_digest(&self) -> Option<String> {
        let key = self.source.key.as_ref()?;
        let digest = Sha256::digest(key.expose());
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    async fn unaskable(
        &self,
        symbols: &[Symbol],
    ) -> Result<Vec<(Symbol, ProviderError)>, ProviderError> {
        let now = Instant::now();
        let unknown = |symbol: &Symbol| {
            let error = Fault::Unknown.error(&self.name, symbol);
            (symbol.clone(), error)
        };

        let unaskable = symbols
            .iter()
            .filter(|symbol| !self.is_askable(symbol, now));
        Ok(unaskable.map(unknown).collect())
    }

    fn take_redirections(&self) -> u32 {
        self.redirections.swap(0, Ordering::Relaxed)
    }

    fn market_hours(&self) -> MarketHours {
        self.api.market_hours()
    }

    async fn trading(&self, symbols: &[Symbol], answer: &Answer) -> Vec<(Symbol, Trading)> {
        let symbols: Vec<&Symbol> = symbols.iter().collect();
        self.api.trading(&answer.body, &symbols)
    }

    async fn fetch(&self, symbols: &[Symbol], _at: Timestamp) -> Result<Answer, ProviderError> {
        self.answer(symbols, false).await
    }

    fn is_undecided(&self, answer: &Answer) -> bool {
        let unknown = |quote: &Result<_, ProviderError>| {
            matches!(quote, Err(ProviderError::UnknownSymbol { .. }))
        };
        let all_unknown = answer.quotes.iter().all(|(_, quote)| unknown(quote));

        let is_list = answer.requests > 0 && answer.quotes.len() > 1;
        let everything = || self.base().ok().and_then(|base| self.api.everything(&base));
        is_list && all_unknown && everything().is_some()
    }

    async fn fetch_among_all(
        &self,
        symbols: &[Symbol],
        _at: Timestamp,
    ) -> Result<Answer, ProviderError> {
        self.answer(symbols, true).await
    }
}

impl<A: Api> Web<A> {
    /// The answer to one request, for `symbols` or for everything.
    async fn answer(&self, symbols: &[Symbol], for_all: bool) -> Result<Answer, ProviderError> {
        self.ready()?;

        let now = Instant::now();
        let askable: Vec<&Symbol> = symbols
            .iter()
            .filter(|symbol| self.is_askable(symbol, now))
            .collect();

        let (received_at, body, found, requests) = match askable.as_slice() {
            [] => (
                to_microseconds(Utc::now()),
                String::new(),
                Found::default(),
                0,
            ),
            [first, ..] => {
                let asking = async {
                    if for_all {
                        self.ask_for_all(&askable).await
                    } else {
                        self.ask(&askable).await
                    }
                };
                // One limit for a request and its redirections.
                let asked = timeout(self.http.timeout(), asking).await;
                let asked = asked.unwrap_or(Err(Fault::TimedOut));
                let (received, found) = asked.map_err(|fault| fault.error(&self.name, first))?;
                let requests = received.requests;
                (received.received_at, received.body, found, requests)
            }
        };

        let verdict = |symbol: &Symbol| {
            let quote = if askable.contains(&symbol) {
                found.of(symbol)
            } else {
                Err(Fault::Unknown)
            };
            quote.map_err(|fault| fault.error(&self.name, symbol))
        };
        let quotes = symbols
            .iter()
            .map(|symbol| (symbol.clone(), verdict(symbol)))
            .collect();

        Ok(Answer {
            received_at,
            requests,
            body: self.without_key(body),
            quotes,
        })
    }
}

/// A key as it is sent in a header, in a URL, and as it is written in JSON.
fn forms(key: &str) -> Vec<String> {
    let in_json = serde_json::Value::from(key).to_string();
    let in_json = in_json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));

    let url = Url::parse_with_params("http://provider/", [("key", key)]).ok();
    let in_url = url
        .as_ref()
        .and_then(|url| url.query()?.strip_prefix("key="));

    // The longest first: a form may be a part of another one.
    let forms = [Some(key), in_url, in_json].into_iter().flatten();
    let mut forms: Vec<String> = forms.map(str::to_owned).collect();
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms
}

/// Whether `symbol` consists of ASCII letters, digits and the bytes `also`, and has a letter or a
/// digit.
pub(super) fn is_name(symbol: &str, also: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || also.contains(&byte);
    symbol.bytes().all(fits) && symbol.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// `base` with these segments added to its path.
pub(super) fn url<'a>(base: &Url, segments: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = base.clone();

    // An `http` or `https` URL always has path segments.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// The symbols with commas between them.
pub(super) fn list(symbols: &[&Symbol]) -> String {
    let symbols: Vec<&str> = symbols.iter().map(|symbol| symbol.as_str()).collect();
    symbols.join(",")
}

impl Request {
    /// A request without headers of its own.
    pub(super) fn to(url: Url) -> Self {
        Self {
            url,
            headers: reqwest::header::HeaderMap::new(),
        }
    }

    /// The request with this header, which is marked as a secret. A key that cannot be in a header
    /// is refused by the configuration.
    pub(super) fn with_secret(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(mut value) = reqwest::header::HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }
}

#[cfg(test)]
mod tests;
