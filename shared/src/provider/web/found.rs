//! The quotes in an answer, by symbol.

use std::collections::HashMap;

use super::Fault;
use crate::market::{Quote, Symbol};

/// The quotes and faults of an answer's entries, by symbol. Upper and lower case are the same: the
/// answer may spell a symbol in another case than the request.
#[derive(Debug, Default)]
pub(in crate::provider) struct Found {
    /// By the symbol in upper case.
    of_symbols: HashMap<Symbol, Result<Quote, Fault>>,
    /// Whether an entry names no symbol. If so, a symbol without an entry is not necessarily
    /// unknown.
    has_nameless: bool,
}

impl Found {
    /// The one entry of an answer about one symbol.
    pub(in crate::provider) fn one(symbol: &Symbol, quote: Result<Quote, Fault>) -> Self {
        let mut found = Self::default();
        found.add(symbol, quote);
        found
    }

    /// Adds an entry's quote. Of several entries for one symbol, those with a quote count. If two
    /// quotes differ, neither is used, because nothing shows which one is true.
    pub(in crate::provider) fn add(&mut self, symbol: &Symbol, quote: Result<Quote, Fault>) {
        let known = self
            .of_symbols
            .entry(symbol.to_upper_case())
            .or_insert_with(|| quote.clone());

        let contradictory = || Fault::Malformed(format!("two entries for {symbol} differ"));
        match (&*known, &quote) {
            (Ok(one), Ok(other)) if one != other => *known = Err(contradictory()),
            (Err(fault), _) if *fault == contradictory() => {}
            (Ok(_), _) => {}
            (Err(_), _) => *known = quote,
        }
    }

    /// Notes an entry whose symbol cannot be read.
    pub(in crate::provider) fn add_nameless(&mut self) {
        self.has_nameless = true;
    }

    /// The quote of `symbol`, or its fault. A symbol without an entry is unknown to the provider.
    pub(in crate::provider) fn of(&self, symbol: &Symbol) -> Result<Quote, Fault> {
        match self.of_symbols.get(&symbol.to_upper_case()) {
            Some(quote) => quote.clone().map(|quote| Quote {
                symbol: symbol.clone(),
                ..quote
            }),
            None if self.has_nameless => Err(Fault::entry(symbol)),
            None => Err(Fault::Unknown),
        }
    }

    /// The fault of all entries, if it concerns every request: such an answer is none.
    pub(super) fn common_fault(&self) -> Option<Fault> {
        let mut faults = self.of_symbols.values().map(|quote| quote.as_ref().err());
        let first = faults.next()??;

        let all_alike = faults.all(|fault| fault == Some(first));
        (all_alike && first.concerns_all()).then(|| first.clone())
    }
}
