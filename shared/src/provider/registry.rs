//! The providers that requests and jobs may name.

use std::sync::Arc;

use super::alpha_vantage::AlphaVantage;
use super::binance::Binance;
use super::coinbase::Coinbase;
use super::finnhub::Finnhub;
use super::kraken::Kraken;
use super::replay::Replay;
use super::spelled::Spelled;
use super::tiingo::Tiingo;
use super::twelve_data::TwelveData;
use super::web::{Api, HttpClient, Web};
use super::yahoo::Yahoo;
use super::{Provider, Spellings};
use crate::config;
use crate::market::{ProviderList, ProviderName};

/// Every provider by name, and the list of the default ones.
#[derive(Clone, Debug)]
pub struct Providers {
    known: Vec<Arc<dyn Provider>>,
    default: ProviderList,
    falls_back_on_unknown_symbol: bool,
}

impl Providers {
    /// The providers of [`super::NAMES`], as configured. No connection is opened before it is
    /// needed.
    #[must_use]
    pub fn new(config: &config::ProviderSettings) -> Self {
        let http = Arc::new(HttpClient::new(config.proxy.clone()));
        let known: Vec<Arc<dyn Provider>> = vec![
            Arc::new(Yahoo::provider(
                &config.yahoo_user_agent,
                config.yahoo.clone(),
                Arc::clone(&http),
            )),
            web(super::FINNHUB, Finnhub, &config.finnhub, &http),
            web(super::TWELVE_DATA, TwelveData, &config.twelve_data, &http),
            web(
                super::ALPHA_VANTAGE,
                AlphaVantage,
                &config.alpha_vantage,
                &http,
            ),
            web(super::TIINGO, Tiingo, &config.tiingo, &http),
            web(super::COINBASE, Coinbase, &config.coinbase, &http),
            web(super::KRAKEN, Kraken, &config.kraken, &http),
            web(super::BINANCE, Binance, &config.binance, &http),
            Arc::new(Replay::new(config.replay_step)),
        ];

        Self::of(known, config.default.clone())
            .falling_back_on_unknown_symbol(config.fallback_on_unknown_symbol)
    }

    /// A registry of the given providers, for tests. `default` should name only these.
    #[must_use]
    pub fn of(known: Vec<Arc<dyn Provider>>, default: ProviderList) -> Self {
        Self {
            known,
            default,
            falls_back_on_unknown_symbol: false,
        }
    }

    /// Whether the next provider of a list is asked for a symbol that one does not know.
    #[must_use]
    pub fn falling_back_on_unknown_symbol(self, falls_back: bool) -> Self {
        Self {
            falls_back_on_unknown_symbol: falls_back,
            ..self
        }
    }

    /// Whether the next provider of a list is asked for a symbol that one does not know.
    #[must_use]
    pub fn falls_back_on_unknown_symbol(&self) -> bool {
        self.falls_back_on_unknown_symbol
    }

    /// The same providers, each asked in its own spelling of our symbols.
    #[must_use]
    pub fn spelled_by(self, spellings: &Arc<dyn Spellings>) -> Self {
        let spelled = |provider| -> Arc<dyn Provider> {
            Arc::new(Spelled::new(provider, Arc::clone(spellings)))
        };

        Self {
            known: self.known.into_iter().map(spelled).collect(),
            ..self
        }
    }

    /// The provider with this name, if it exists.
    #[must_use]
    pub fn get(&self, name: &ProviderName) -> Option<Arc<dyn Provider>> {
        self.known
            .iter()
            .find(|provider| provider.name() == name)
            .map(Arc::clone)
    }

    /// The names of all providers, the preferred one first.
    pub fn names(&self) -> impl Iterator<Item = &ProviderName> {
        self.known.iter().map(|provider| provider.name())
    }

    /// The providers that are asked, in this order, when none is named.
    #[must_use]
    pub fn default_list(&self) -> &ProviderList {
        &self.default
    }
}

fn web<A: Api>(
    name: &'static str,
    api: A,
    source: &config::Source,
    http: &Arc<HttpClient>,
) -> Arc<dyn Provider> {
    Arc::new(Web::new(name, api, source.clone(), Arc::clone(http)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{NAMES, ProviderError, Refusal, name};

    fn providers(variables: &'static [(&str, &str)]) -> Providers {
        let config = config::Poller::from_lookup(&|asked| {
            let always = [
                ("DATABASE_URL", "postgres://market@db/market"),
                ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"),
            ];
            let mut all = variables.iter().chain(&always);
            let found = all.find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        });
        Providers::new(&config.unwrap().providers)
    }

    #[test]
    fn every_known_name_has_its_provider_and_no_other_name_has_one() {
        let providers = providers(&[]);

        assert!(providers.names().map(ProviderName::as_str).eq(NAMES));
        for known in NAMES.map(name) {
            assert_eq!(providers.get(&known).unwrap().name(), &known);
        }
        assert!(providers.get(&"bloomberg".parse().unwrap()).is_none());
        assert_eq!(providers.default_list().to_string(), "yahoo");
    }

    #[tokio::test]
    async fn a_provider_without_its_key_is_listed_and_says_what_it_needs_instead_of_asking() {
        let providers = providers(&[
            ("TIINGO_API_KEY", "abcd1234"),
            ("FINNHUB_BASE_URL", "http://127.0.0.1:9"),
        ]);
        let needs = |name: &str| providers.get(&name.parse().unwrap()).unwrap().needs();
        assert_eq!(
            NAMES.map(needs),
            [
                None,
                Some("FINNHUB_API_KEY"),
                Some("TWELVE_DATA_API_KEY"),
                Some("ALPHA_VANTAGE_API_KEY"),
                None,
                None,
                None,
                None,
                None
            ]
        );

        let finnhub = providers.get(&"finnhub".parse().unwrap()).unwrap();
        let symbols = ["AAPL".parse().unwrap()];
        let error = finnhub
            .fetch(&symbols, chrono::Utc::now())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "finnhub needs FINNHUB_API_KEY");
        let refusal = Refusal::NeedsKey("FINNHUB_API_KEY");
        assert!(
            matches!(error, ProviderError::NotAllowed { refusal: told, .. } if told == refusal)
        );
    }
}
