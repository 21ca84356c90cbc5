//! The terms of the market: symbols, providers, currencies and quotes.

use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::price::Price;

mod provider_list;
mod trading_period;

pub use provider_list::{MAX_PROVIDER_LIST_LENGTH, MAX_PROVIDERS, ProviderList, ProviderListError};
pub use trading_period::{Trading, TradingPeriod, is_recent};

/// A moment in UTC. Stored and compared times have microseconds, as in Postgres: see
/// [`to_microseconds`].
pub type Timestamp = DateTime<Utc>;

/// The earliest time that Postgres stores, 24 November 4714 BC, in microseconds since 1970. Its
/// latest is beyond that of [`Timestamp`].
const FIRST_STORED: i64 = -210_866_803_200_000_000;

/// Longest symbol, provider or currency name, in characters.
pub const MAX_NAME_LENGTH: usize = 32;

/// Why a text is not a [`Symbol`], [`ProviderName`] or [`Currency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_NAME_LENGTH} printable ASCII characters without spaces")]
pub struct NameError;

/// A name stored inline: a batch has tens of thousands of them, and allocating each took as long as
/// decoding it.
type Name = ArrayString<MAX_NAME_LENGTH>;

fn checked(text: &str) -> Result<Name, NameError> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        Name::from(text).map_err(|_| NameError)
    } else {
        Err(NameError)
    }
}

/// Implements a name type's text, display and JSON form, all through its checked constructor.
macro_rules! name_type {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}

/// Our name of a traded instrument: `AAPL`, `BRK-B`, `^GSPC`, `EURUSD=X`. A provider may spell it
/// differently ([`Spellings`](crate::provider::Spellings)).
///
/// Symbols are case-sensitive: at some exchanges `TPC` and `TpC` are two instruments. Our own
/// providers know only upper case, so they are asked with [`Symbol::to_upper_case`]. Events of
/// other producers keep their case.
///
/// ```
/// use shared::market::Symbol;
///
/// let symbol: Symbol = "brk-b".parse()?;
/// assert_eq!(symbol.to_upper_case().as_str(), "BRK-B");
///
/// assert!("two words".parse::<Symbol>().is_err());
/// # Ok::<(), shared::market::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Symbol(Name);

impl Symbol {
    /// The symbol as our own providers are asked for it, unless they spell it differently.
    #[must_use]
    pub fn to_upper_case(&self) -> Self {
        let mut name = self.0;
        name.make_ascii_uppercase();
        Self(name)
    }
}

impl FromStr for Symbol {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        checked(text).map(Self)
    }
}

name_type!(Symbol);

/// A source of quotes, lower-cased: `yahoo`, `replay`. `yfinance` is another name of `yahoo`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderName(Name);

impl FromStr for ProviderName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut name = checked(text)?;
        name.make_ascii_lowercase();
        if name.as_str() == "yfinance" {
            "yahoo".parse()
        } else {
            Ok(Self(name))
        }
    }
}

name_type!(ProviderName);

/// The unit of a price as the provider writes it: `USD`, and `GBp` for pence, which is not `GBP`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(Name);

impl FromStr for Currency {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        checked(text).map(Self)
    }
}

name_type!(Currency);

/// A provider's answer for one symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The requested symbol.
    pub symbol: Symbol,
    /// The price, in `currency`.
    pub price: Price,
    /// The unit of the price, if the provider states it.
    pub currency: Option<Currency>,
    /// The market's time of the price, not the time of the request.
    pub timestamp: Timestamp,
}

/// Converts `time` to what Postgres stores, so that two times compare here as they do there.
///
/// It is truncated, not rounded, to microseconds. A leap second becomes the second after it, as in
/// Postgres: 10:30:60 is 10:31:00. A time before the earliest one that Postgres stores becomes that
/// one.
#[must_use]
pub fn to_microseconds(time: Timestamp) -> Timestamp {
    // The count of microseconds has no leap seconds.
    let micros = time.timestamp_micros().max(FIRST_STORED);
    DateTime::from_timestamp_micros(micros).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_keep_their_case_and_providers_are_lower_cased() {
        let symbol = "TpC=x".parse::<Symbol>().unwrap();
        assert_eq!(
            (symbol.as_str(), symbol.to_upper_case().as_str()),
            ("TpC=x", "TPC=X")
        );
        assert_ne!(symbol, symbol.to_upper_case());
        assert_eq!("Replay".parse::<ProviderName>().unwrap().as_str(), "replay");
    }

    #[test]
    fn yfinance_is_yahoo() {
        assert_eq!(
            "yFinance".parse::<ProviderName>().unwrap().as_str(),
            "yahoo"
        );
    }

    #[test]
    fn pence_stay_pence() {
        assert_eq!("GBp".parse::<Currency>().unwrap().as_str(), "GBp");
    }

    #[test]
    fn names_with_spaces_other_alphabets_or_no_end_are_refused() {
        for text in ["", "A B", "ÄÖ", "A\n", "A\u{7f}", &"A".repeat(33)] {
            assert_eq!(text.parse::<Symbol>(), Err(NameError), "{text:?}");
        }
    }

    #[test]
    fn time_is_cut_to_microseconds_before_and_after_1970() {
        let cut = |text: &str| to_microseconds(text.parse().unwrap()).to_rfc3339();
        assert_eq!(
            cut("2024-03-20T10:30:00.123456789Z"),
            "2024-03-20T10:30:00.123456+00:00"
        );
        assert_eq!(
            cut("1969-12-31T23:59:59.999999999Z"),
            "1969-12-31T23:59:59.999999+00:00"
        );
    }

    #[test]
    fn a_leap_second_is_the_second_after_it() {
        let cut = |text: &str| to_microseconds(text.parse().unwrap());
        assert_eq!(cut("2026-11-27T10:30:60Z"), cut("2026-11-27T10:31:00Z"));
        assert_eq!(
            cut("2016-12-31T23:59:60.9999999Z").to_rfc3339(),
            "2017-01-01T00:00:00.999999+00:00"
        );
        assert_eq!(cut("1969-12-31T23:59:60Z"), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn no_time_lies_before_what_postgres_stores() {
        let first = "-4713-11-24T00:00:00Z".parse::<Timestamp>().unwrap();
        assert_eq!(to_microseconds(Timestamp::MIN_UTC), first);
        assert_eq!(to_microseconds(first), first);
        let last = to_microseconds(Timestamp::MAX_UTC);
        assert_eq!(
            last.timestamp_micros(),
            Timestamp::MAX_UTC.timestamp_micros()
        );
    }
}
