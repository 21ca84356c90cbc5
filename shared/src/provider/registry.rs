//! The providers that requests and jobs may name.

use std::sync::Arc;

use super::Provider;
use super::replay::Replay;
use super::yahoo::Yahoo;
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
        let yahoo = Yahoo::new(&config.yahoo_base_url, &config.yahoo_user_agent);
        let replay = Replay::new(config.replay_step);
        Self::of(
            vec![Arc::new(yahoo), Arc::new(replay)],
            config.default.clone(),
        )
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::provider::{NAMES, name};

    #[test]
    fn every_known_name_has_its_provider_and_no_other_name_has_one() {
        let providers = Providers::new(&config::ProviderSettings {
            default: name(NAMES[0]).into(),
            fallback_on_unknown_symbol: false,
            yahoo_base_url: "http://127.0.0.1:9".to_owned(),
            yahoo_user_agent: "test".to_owned(),
            replay_step: Duration::from_secs(10),
        });

        assert!(providers.names().map(ProviderName::as_str).eq(NAMES));
        for known in NAMES.map(name) {
            assert_eq!(providers.get(&known).unwrap().name(), &known);
        }
        assert!(providers.get(&"bloomberg".parse().unwrap()).is_none());
        assert_eq!(providers.default_list().to_string(), "yahoo");
    }
}
