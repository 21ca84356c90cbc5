//! One entry of Yahoo's answers: the data of one symbol. Its faults affect that symbol only.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::market::{Currency, Quote, Symbol, Timestamp, Trading, TradingPeriod};
use crate::price::Price;
use crate::provider::web::Fault;

/// How far ahead of our clock a quote's time may be. A later one cannot be the time of a trade.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// Longest name of an exchange that is kept.
const LONGEST_NAME: usize = 32;

/// One entry of an answer.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// The symbol that the entry names; `None` if even that cannot be read.
    pub(super) symbol: Option<Symbol>,
    /// The data of the symbol; `None` if it cannot be read.
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Chart<'a> {
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Spark<'a> {
    #[serde(borrow)]
    response: Option<Vec<&'a RawValue>>,
}

/// The symbol of an entry. It is read separately, so that other fields cannot make it unreadable.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
}

/// The fields of a symbol that are read. Each may be missing or have an unexpected type, for
/// example the text `"Infinity"` as a price.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow)]
    symbol: Option<&'a RawValue>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
    #[serde(borrow)]
    regular_market_price: Option<&'a RawValue>,
    #[serde(borrow)]
    regular_market_time: Option<&'a RawValue>,
    #[serde(borrow)]
    exchange_name: Option<&'a RawValue>,
    #[serde(borrow)]
    current_trading_period: Option<&'a RawValue>,
}

/// The trading periods of a day, in seconds since 1970.
#[derive(Deserialize)]
struct Periods {
    regular: Period,
}

#[derive(Deserialize)]
struct Period {
    start: i64,
    end: i64,
}

impl<'a> Entry<'a> {
    /// Reads an entry of the chart endpoint, which names its symbol in `meta`.
    pub(super) fn of_chart(entry: &'a RawValue) -> Self {
        let meta = meta(entry);
        let symbol = meta.as_ref().and_then(Meta::symbol);

        Self { symbol, meta }
    }

    /// Reads an entry of the sparkline endpoint. The entry's own symbol is the requested one; a
    /// chart in it that names another symbol is ignored.
    pub(super) fn of_spark(entry: &'a RawValue) -> Self {
        let named = serde_json::from_str::<Named<'a>>(entry.get()).ok();
        let spark = serde_json::from_str::<Spark<'a>>(entry.get()).ok();
        let charts = spark.and_then(|spark| spark.response).unwrap_or_default();

        let symbol = named.and_then(|named| symbol(&named.symbol));
        let is_its_own = |meta: &Meta<'_>| match (meta.symbol(), &symbol) {
            (Some(named), Some(symbol)) => is_chart_of(&named, symbol),
            _ => true,
        };
        let meta = charts.into_iter().find_map(meta).filter(is_its_own);

        Self { symbol, meta }
    }

    /// The entry's quote, as one of `symbol`, or the reason why it has none.
    pub(super) fn quote(&self, symbol: &Symbol, received_at: Timestamp) -> Result<Quote, Fault> {
        let meta = self.meta.as_ref().ok_or_else(|| Fault::entry(symbol))?;

        let price = meta.price().map_err(Fault::NoPrice)?;
        let timestamp = meta.market_time(received_at).map_err(Fault::NoPrice)?;

        Ok(Quote {
            symbol: symbol.clone(),
            price,
            currency: meta.currency(),
            timestamp,
        })
    }
}

impl Entry<'_> {
    /// When the symbol trades. Sparklines name the exchange, and charts the period, too.
    pub(super) fn trading(&self) -> Trading {
        let exchange = self.meta.as_ref().and_then(|meta| meta.exchange_name);
        let exchange = exchange.and_then(|name| serde_json::from_str::<String>(name.get()).ok());

        Trading {
            exchange: exchange.filter(|name| name.len() <= LONGEST_NAME),
            period: self.trading_period(),
        }
    }

    /// The period of regular trading: today's, the next one or the last one.
    fn trading_period(&self) -> Option<TradingPeriod> {
        let periods = self.meta.as_ref()?.current_trading_period?;
        let Periods { regular } = serde_json::from_str(periods.get()).ok()?;

        let time = |seconds| DateTime::from_timestamp(seconds, 0);
        TradingPeriod::new(time(regular.start)?, time(regular.end)?)
    }
}

fn meta(chart: &RawValue) -> Option<Meta<'_>> {
    serde_json::from_str::<Chart<'_>>(chart.get()).ok()?.meta
}

/// Whether the chart that names `named` is the one of `asked`. Yahoo's charts of currency pairs
/// omit a leading US dollar: the chart of `USDEUR=X` names `EUR=X`.
pub(super) fn is_chart_of(named: &Symbol, asked: &Symbol) -> bool {
    let pair = |name: &str| {
        name.strip_suffix("=X")
            .is_some_and(|currencies| currencies.len() == 3)
    };
    let (named, asked) = (named.to_upper_case(), asked.to_upper_case());
    let (named, asked) = (named.as_str(), asked.as_str());

    asked == named || (pair(named) && asked.strip_prefix("USD") == Some(named))
}

fn symbol(name: &str) -> Option<Symbol> {
    Some(name.parse::<Symbol>().ok()?.to_upper_case())
}

impl Meta<'_> {
    /// The symbol that the chart names, if it can be read.
    fn symbol(&self) -> Option<Symbol> {
        let name: Cow<'_, str> = serde_json::from_str(self.symbol?.get()).ok()?;
        symbol(&name)
    }

    /// The price, parsed from its digits without a conversion to a float.
    fn price(&self) -> Result<Price, String> {
        let text = self.regular_market_price.ok_or("it has none")?.get();
        text.parse().map_err(|error| format!("its price {error}"))
    }

    /// The time of the price: after 1970, and not in the future of `received_at` by more than
    /// [`CLOCK_TOLERANCE`].
    fn market_time(&self, received_at: Timestamp) -> Result<Timestamp, String> {
        let text = self
            .regular_market_time
            .ok_or("it has no market time")?
            .get();

        let time = text
            .parse()
            .ok()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let plausible = |time: &Timestamp| {
            *time > DateTime::UNIX_EPOCH && *time <= received_at + CLOCK_TOLERANCE
        };

        time.filter(plausible)
            .ok_or_else(|| "its market time is not in the past".to_owned())
    }

    fn currency(&self) -> Option<Currency> {
        serde_json::from_str(self.currency?.get()).ok()
    }
}
