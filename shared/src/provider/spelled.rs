//! Asks a provider for symbols as it spells them, and answers for them as we do.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Answer, Limits, MarketHours, Provider, ProviderError};
use crate::market::{ProviderName, Quote, Symbol, Timestamp, Trading};

/// One provider's spelling of each of our symbols that it spells in another way.
pub type Spelling = HashMap<Symbol, Symbol>;

/// Knows how providers spell our symbols.
#[async_trait]
pub trait Spellings: fmt::Debug + Send + Sync {
    /// The spellings of `provider`. `None` if they are not known now: to ask for a symbol as it is
    /// could then give the price of another instrument.
    async fn of(&self, provider: &ProviderName) -> Option<Arc<Spelling>>;
}

/// A provider that is asked in its own spelling. A symbol without one goes as it is.
#[derive(Debug)]
pub(super) struct Spelled {
    provider: Arc<dyn Provider>,
    spellings: Arc<dyn Spellings>,
}

impl Spelled {
    pub(super) fn new(provider: Arc<dyn Provider>, spellings: Arc<dyn Spellings>) -> Self {
        Self {
            provider,
            spellings,
        }
    }
}

#[async_trait]
impl Provider for Spelled {
    fn name(&self) -> &ProviderName {
        self.provider.name()
    }

    fn limits(&self) -> Limits {
        self.provider.limits()
    }

    fn needs(&self) -> Option<&'static str> {
        self.provider.needs()
    }

    fn is_remote(&self) -> bool {
        self.provider.is_remote()
    }

    fn key_digest(&self) -> Option<String> {
        self.provider.key_digest()
    }

    async fn unaskable(
        &self,
        symbols: &[Symbol],
    ) -> Result<Vec<(Symbol, ProviderError)>, ProviderError> {
        let spelling = self.spelling().await?;
        let theirs = |symbol: &Symbol| spelling.get(symbol).unwrap_or(symbol).clone();

        let asked: Vec<Symbol> = symbols.iter().map(theirs).collect();
        let unaskable = self.provider.unaskable(&asked).await?;
        let unaskable: HashMap<Symbol, ProviderError> = unaskable.into_iter().collect();

        let ours = |symbol: &Symbol| {
            let error = unaskable.get(&theirs(symbol))?.clone();
            Some((symbol.clone(), error.about(symbol)))
        };
        Ok(symbols.iter().filter_map(ours).collect())
    }

    fn take_redirections(&self) -> u32 {
        self.provider.take_redirections()
    }

    fn market_hours(&self) -> MarketHours {
        self.provider.market_hours()
    }

    async fn trading(&self, symbols: &[Symbol], answer: &Answer) -> Vec<(Symbol, Trading)> {
        let Some(spelling) = self.spellings.of(self.name()).await else {
            return Vec::new();
        };
        let theirs = |symbol: &Symbol| spelling.get(symbol).unwrap_or(symbol).clone();
        let asked: Vec<Symbol> = symbols.iter().map(theirs).collect();

        let told = self.provider.trading(&asked, answer).await;
        let told: HashMap<Symbol, Trading> = told.into_iter().collect();
        let ours = |symbol: &Symbol| Some((symbol.clone(), told.get(&theirs(symbol))?.clone()));
        symbols.iter().filter_map(ours).collect()
    }

    async fn fetch(&self, symbols: &[Symbol], at: Timestamp) -> Result<Answer, ProviderError> {
        self.answer(symbols, at, false).await
    }

    fn is_undecided(&self, answer: &Answer) -> bool {
        self.provider.is_undecided(answer)
    }

    async fn fetch_among_all(
        &self,
        symbols: &[Symbol],
        at: Timestamp,
    ) -> Result<Answer, ProviderError> {
        self.answer(symbols, at, true).await
    }
}

impl Spelled {
    /// The answer to a request in the provider's spelling, for these symbols or among all.
    async fn their_answer(
        &self,
        symbols: &[Symbol],
        at: Timestamp,
        among_all: bool,
    ) -> Result<Answer, ProviderError> {
        if among_all {
            self.provider.fetch_among_all(symbols, at).await
        } else {
            self.provider.fetch(symbols, at).await
        }
    }

    /// The same answer in our spelling.
    async fn answer(
        &self,
        symbols: &[Symbol],
        at: Timestamp,
        among_all: bool,
    ) -> Result<Answer, ProviderError> {
        let spelling = self.spelling().await?;
        if !symbols.iter().any(|symbol| spelling.contains_key(symbol)) {
            return self.their_answer(symbols, at, among_all).await;
        }

        let theirs = |symbol: &Symbol| spelling.get(symbol).unwrap_or(symbol).clone();
        let mut seen = HashSet::new();
        let asked: Vec<Symbol> = symbols
            .iter()
            .map(theirs)
            .filter(|symbol| seen.insert(symbol.clone()))
            .collect();

        let answer = self.their_answer(&asked, at, among_all).await;
        let answer = answer.map_err(|error| match symbols.first() {
            Some(symbol) => error.about(symbol),
            None => error,
        })?;

        let quotes: HashMap<Symbol, _> = answer.quotes.into_iter().collect();
        let ours = |symbol: &Symbol| {
            let quote = quotes.get(&theirs(symbol)).cloned();
            (symbol.clone(), self.of(symbol, quote))
        };
        Ok(Answer {
            quotes: symbols.iter().map(ours).collect(),
            ..answer
        })
    }

    async fn spelling(&self) -> Result<Arc<Spelling>, ProviderError> {
        let spelling = self.spellings.of(self.name()).await;
        spelling.ok_or_else(|| ProviderError::Unspelled {
            provider: self.name().clone(),
        })
    }

    /// The quote, or the error, as one of our symbol.
    fn of(
        &self,
        symbol: &Symbol,
        quote: Option<Result<Quote, ProviderError>>,
    ) -> Result<Quote, ProviderError> {
        let absent = || ProviderError::Malformed {
            provider: self.name().clone(),
            reason: "a symbol is missing from it".to_owned(),
        };

        match quote.unwrap_or_else(|| Err(absent())) {
            Ok(quote) => Ok(Quote {
                symbol: symbol.clone(),
                ..quote
            }),
            Err(error) => Err(error.about(symbol)),
        }
    }
}
