//! Finnhub: stocks of US exchanges, one symbol per request, with the key in a header.
//!
//! The answer names neither the symbol nor a currency. A symbol that Finnhub does not know has the
//! price 0 at the time 0.

use reqwest::Url;
use serde::Deserialize;

use super::web::fields::{self, Field};
use super::web::{Api, Fault, Found, Received, Request, is_name, url};
use super::{LimitScope, Limits, Refusal};
use crate::config::Secret;
use crate::market::{Quote, Symbol};

/// The free plan's: 60 requests a minute, and 30 a second on every plan.
pub(crate) const LIMITS: Limits = Limits {
    per_second: Some(30),
    per_minute: Some(60),
    max_concurrent: 8,
    ..Limits::unlimited(1)
};

/// The API of Finnhub.
#[derive(Debug)]
pub(super) struct Finnhub;

#[derive(Deserialize)]
struct Body<'a> {
    /// The current price.
    #[serde(borrow)]
    c: Field<'a>,
    /// Its time, in seconds.
    #[serde(borrow)]
    t: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

impl Api for Finnhub {
    fn may_exist(&self, symbol: &str) -> bool {
        is_name(symbol, b".-:=^_/")
    }

    fn request(&self, base: &Url, key: Option<&Secret>, symbols: &[&Symbol]) -> Request {
        let mut url = url(base, ["api", "v1", "quote"]);
        url.query_pairs_mut()
            .append_pair("symbol", symbols[0].as_str());

        Request::to(url).with_secret("x-finnhub-token", key.map_or("", Secret::expose))
    }

    fn read(&self, received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault> {
        let body = serde_json::from_str::<Body<'_>>(&received.body).ok();
        if let Some(fault) = body.as_ref().and_then(|body| body.told(received)) {
            return Err(fault);
        }
        match Fault::of_status(received) {
            Some(Fault::RateLimited { .. }) => {
                return Err(Fault::limited(received, LimitScope::Minute));
            }
            Some(fault) => return Err(fault),
            None => {}
        }

        let body = body.ok_or_else(Fault::shape)?;
        if body.error.is_some() {
            return Err(Fault::reported());
        }
        if body.c.is_none() && body.t.is_none() {
            return Err(Fault::shape());
        }
        Ok(Found::one(symbols[0], body.quote(symbols[0], received)))
    }
}

impl Body<'_> {
    /// The fault that the error's words tell, with any status.
    fn told(&self, received: &Received) -> Option<Fault> {
        let error = fields::text(self.error)?;
        let says = |part: &str| error.contains(part);

        match () {
            () if says("API limit") => Some(Fault::limited(received, LimitScope::Minute)),
            () if says("API key") => Some(Fault::NotAllowed(Refusal::KeyRefused)),
            () if says("access") => Some(Fault::NotAllowed(Refusal::Plan)),
            () => None,
        }
    }

    fn quote(&self, symbol: &Symbol, received: &Received) -> Result<Quote, Fault> {
        let is_zero = |field: Field<'_>| field.is_some_and(|field| field.get() == "0");
        if is_zero(self.c) && is_zero(self.t) {
            return Err(Fault::Unknown);
        }

        Ok(Quote {
            symbol: symbol.clone(),
            price: fields::price(self.c)?,
            currency: None,
            timestamp: fields::market_time(fields::seconds(self.t), received.received_at)?,
        })
    }
}
