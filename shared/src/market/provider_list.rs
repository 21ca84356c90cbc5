//! An ordered list of providers: whom to ask first, and whom if that one fails.

use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::{NameError, ProviderName};

/// Most providers in a [`ProviderList`].
pub const MAX_PROVIDERS: usize = 5;
/// Longest text form of a [`ProviderList`] without spaces, in characters.
pub const MAX_PROVIDER_LIST_LENGTH: usize = MAX_PROVIDERS * (super::MAX_NAME_LENGTH + 1) - 1;

/// One to [`MAX_PROVIDERS`] different providers in the order in which they are asked.
///
/// Its text form has commas between the names. Spaces around a name are ignored, and the names are
/// those of [`ProviderName`]: lower-cased, with `yfinance` as another name of `yahoo`.
///
/// ```
/// use shared::market::ProviderList;
///
/// let list: ProviderList = "YFinance, finnhub".parse()?;
/// assert_eq!(list.to_string(), "yahoo,finnhub");
/// assert_eq!(list.first().as_str(), "yahoo");
///
/// assert!("yahoo,yfinance".parse::<ProviderList>().is_err());
/// # Ok::<(), shared::market::ProviderListError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderList {
    first: ProviderName,
    others: ArrayVec<ProviderName, { MAX_PROVIDERS - 1 }>,
}

/// Why a text is not a [`ProviderList`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderListError {
    /// A part is not a name; parts are counted from 1.
    #[error("part {part} of the list of providers {error}")]
    Name {
        /// Which part it is.
        part: usize,
        /// What a name must be.
        error: NameError,
    },
    /// A name comes twice.
    #[error("part {part} of the list of providers repeats {name}")]
    Repeated {
        /// Which part it is.
        part: usize,
        /// The name.
        name: ProviderName,
    },
    /// There are more than [`MAX_PROVIDERS`] names.
    #[error("must name at most {MAX_PROVIDERS} providers, not {0}")]
    TooMany(usize),
}

impl ProviderList {
    /// The provider that is asked first.
    #[must_use]
    pub fn first(&self) -> &ProviderName {
        &self.first
    }

    /// The providers in the order in which they are asked.
    pub fn iter(&self) -> impl Iterator<Item = &ProviderName> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether the list names this provider.
    #[must_use]
    pub fn contains(&self, name: &ProviderName) -> bool {
        self.iter().any(|listed| listed == name)
    }
}

impl From<ProviderName> for ProviderList {
    fn from(first: ProviderName) -> Self {
        Self {
            first,
            others: ArrayVec::new(),
        }
    }
}

impl FromStr for ProviderList {
    type Err = ProviderListError;

    fn from_str(text: &str) -> Result<Self, ProviderListError> {
        let parts = text.split(',').count();
        if parts > MAX_PROVIDERS {
            return Err(ProviderListError::TooMany(parts));
        }

        let mut parts = (1..).zip(text.split(',')).map(|(part, text)| {
            let name = text.trim().parse::<ProviderName>();
            name.map(|name| (part, name))
                .map_err(|error| ProviderListError::Name { part, error })
        });
        let mut list = match parts.next() {
            Some(first) => Self::from(first?.1),
            None => {
                return Err(ProviderListError::Name {
                    part: 1,
                    error: NameError,
                });
            }
        };

        for named in parts {
            let (part, name) = named?;
            if list.contains(&name) {
                return Err(ProviderListError::Repeated { part, name });
            }
            list.others.push(name);
        }
        Ok(list)
    }
}

impl fmt::Display for ProviderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others.iter().try_for_each(|name| write!(f, ",{name}"))
    }
}

impl TryFrom<String> for ProviderList {
    type Error = ProviderListError;

    fn try_from(text: String) -> Result<Self, ProviderListError> {
        text.parse()
    }
}

impl From<ProviderList> for String {
    fn from(list: ProviderList) -> Self {
        list.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<ProviderList>().unwrap_err().to_string()
    }

    #[test]
    fn a_list_keeps_its_order_and_has_one_spelling() {
        let list: ProviderList = " Finnhub ,yFinance,replay".parse().unwrap();

        assert_eq!(list.to_string(), "finnhub,yahoo,replay");
        assert_eq!(list.first().as_str(), "finnhub");
        assert_eq!(list.iter().count(), 3);
        assert!(list.contains(&"replay".parse().unwrap()));
        assert!(!list.contains(&"kraken".parse().unwrap()));
    }

    #[test]
    fn the_longest_list_has_the_documented_length_and_is_read_again() {
        let names = ["a", "b", "c", "d", "e"].map(|letter| letter.repeat(32));
        let text = names.join(",");

        assert_eq!(text.len(), MAX_PROVIDER_LIST_LENGTH);
        assert_eq!(text.parse::<ProviderList>().unwrap().to_string(), text);
    }

    #[test]
    fn an_error_names_the_part_at_fault() {
        let name = "must be 1 to 32 printable ASCII characters without spaces";
        let part = |part| format!("part {part} of the list of providers {name}");

        assert_eq!(error(""), part(1));
        assert_eq!(error(",yahoo"), part(1));
        assert_eq!(error("yahoo,"), part(2));
        assert_eq!(error("yahoo,fin hub,x"), part(2));
        assert_eq!(
            error("yahoo,replay,YFINANCE"),
            "part 3 of the list of providers repeats yahoo"
        );
        assert_eq!(error("a,b,c,d,e,f"), "must name at most 5 providers, not 6");
    }
}
