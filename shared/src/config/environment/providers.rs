//! The variables of the providers.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::{DAY_SECONDS, Environment, is_base_url};
use crate::config::{ProviderSettings, Secret, Source};
use crate::market::{ProviderList, ProviderName};
use crate::provider::{self, Limits, documented};

/// The variables of one provider, and the address of its API.
struct Variables {
    base_url: &'static str,
    default_url: &'static str,
    limits: &'static str,
    documented: Limits,
    /// `None` if the provider takes no key.
    key: Option<&'static str>,
}

const YAHOO: Variables = Variables {
    base_url: "YAHOO_BASE_URL",
    default_url: "https://query1.finance.yahoo.com",
    limits: "YAHOO_LIMITS",
    documented: documented::YAHOO,
    key: None,
};
const FINNHUB: Variables = Variables {
    base_url: "FINNHUB_BASE_URL",
    default_url: "https://finnhub.io",
    limits: "FINNHUB_LIMITS",
    documented: documented::FINNHUB,
    key: Some("FINNHUB_API_KEY"),
};
const TWELVE_DATA: Variables = Variables {
    base_url: "TWELVE_DATA_BASE_URL",
    default_url: "https://api.twelvedata.com",
    limits: "TWELVE_DATA_LIMITS",
    documented: documented::TWELVE_DATA,
    key: Some("TWELVE_DATA_API_KEY"),
};
const ALPHA_VANTAGE: Variables = Variables {
    base_url: "ALPHA_VANTAGE_BASE_URL",
    default_url: "https://www.alphavantage.co",
    limits: "ALPHA_VANTAGE_LIMITS",
    documented: documented::ALPHA_VANTAGE,
    key: Some("ALPHA_VANTAGE_API_KEY"),
};
const TIINGO: Variables = Variables {
    base_url: "TIINGO_BASE_URL",
    default_url: "https://api.tiingo.com",
    limits: "TIINGO_LIMITS",
    documented: documented::TIINGO,
    key: Some("TIINGO_API_KEY"),
};
const COINBASE: Variables = Variables {
    base_url: "COINBASE_BASE_URL",
    default_url: "https://api.exchange.coinbase.com",
    limits: "COINBASE_LIMITS",
    documented: documented::COINBASE,
    key: None,
};
const KRAKEN: Variables = Variables {
    base_url: "KRAKEN_BASE_URL",
    default_url: "https://api.kraken.com",
    limits: "KRAKEN_LIMITS",
    documented: documented::KRAKEN,
    key: None,
};
const BINANCE: Variables = Variables {
    base_url: "BINANCE_BASE_URL",
    default_url: "https://data-api.binance.vision",
    limits: "BINANCE_LIMITS",
    documented: documented::BINANCE,
    key: None,
};

impl Environment<'_> {
    pub(in crate::config) fn providers(&mut self) -> ProviderSettings {
        let user_agent = self.or_default(
            "YAHOO_USER_AGENT",
            "Mozilla/5.0 (compatible; market-data-pipeline/0.1)",
            "the text of an HTTP header in printable ASCII",
            |text| HeaderValue::from_str(text).is_ok_and(|value| value.to_str().is_ok()),
        );

        ProviderSettings {
            default: self.default_provider(),
            fallback_on_unknown_symbol: self.truth("FALLBACK_ON_UNKNOWN_SYMBOL"),
            yahoo: self.source(&YAHOO),
            yahoo_user_agent: user_agent,
            finnhub: self.source(&FINNHUB),
            twelve_data: self.source(&TWELVE_DATA),
            alpha_vantage: self.source(&ALPHA_VANTAGE),
            tiingo: self.source(&TIINGO),
            coinbase: self.source(&COINBASE),
            kraken: self.source(&KRAKEN),
            binance: self.source(&BINANCE),
            replay_step: Duration::from_secs(
                self.number("REPLAY_STEP_SECONDS", 10, 1..=DAY_SECONDS)
                    .into(),
            ),
            proxy: self.proxy(),
        }
    }

    /// The list of `DEFAULT_PROVIDER`. Its faults name the part that is wrong.
    fn default_provider(&mut self) -> ProviderList {
        const NAME: &str = "DEFAULT_PROVIDER";
        let usual = || ProviderList::from(provider::name(provider::YAHOO));
        let Some(text) = self.value(NAME) else {
            return usual();
        };

        match text.parse::<ProviderList>() {
            Ok(list) => {
                let known = |name: &&ProviderName| provider::NAMES.contains(&name.as_str());
                if let Some(unknown) = list.iter().find(|name| !known(name)) {
                    let known = provider::NAMES.join(", ");
                    self.faults.push(format!(
                        "{NAME} names {unknown}, which is not one of {known}"
                    ));
                }
                list
            }
            Err(error) => {
                self.faults.push(format!("{NAME}: {error}"));
                usual()
            }
        }
    }

    fn source(&mut self, variables: &Variables) -> Source {
        let base_url = self.or_default(
            variables.base_url,
            variables.default_url,
            "an http or https URL without user, query or fragment",
            is_base_url,
        );

        let key = variables.key.and_then(|variable| self.key(variable));
        let needs = variables.key.filter(|_| key.is_none());
        Source {
            base_url,
            key,
            needs,
            limits: self.limits(variables),
        }
    }

    /// A key, which must fit into an HTTP header. It is not in the fault.
    fn key(&mut self, variable: &'static str) -> Option<Secret> {
        let key = self.value(variable)?;

        let fits =
            (4..=512).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            self.faults.push(format!(
                "{variable} is not a key: 4 to 512 printable ASCII characters without spaces"
            ));
        }
        Some(Secret::new(key))
    }

    fn limits(&mut self, variables: &Variables) -> Limits {
        let Some(text) = self.value(variables.limits) else {
            return variables.documented;
        };

        variables.documented.with(&text).unwrap_or_else(|error| {
            self.faults
                .push(format!("{} is not {error}", variables.limits));
            variables.documented
        })
    }

    /// The proxy, whose URL may hold a password, so it is not in the fault.
    fn proxy(&mut self) -> Option<Secret> {
        const NAME: &str = "PROVIDER_PROXY";
        let url = self.value(NAME)?;

        let is_proxy = Url::parse(&url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_proxy {
            self.faults.push(format!(
                "{NAME} is not the http or https URL of a proxy such as http://proxy.internal:3128"
            ));
        }
        Some(Secret::new(url))
    }
}
