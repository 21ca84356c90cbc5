//! What became of each symbol of a poll.

use std::collections::HashMap;

use shared::acquisition::Loss;
use shared::market::{ProviderName, Symbol};
use shared::price_event::PriceEvent;
use shared::provider::ProviderError;
use shared::repository::polling_runs::{Failure, Outcome, OutcomeGroup, RunResult};
use shared::repository::series::Series;

/// What became of one symbol.
#[derive(Debug)]
enum Fate {
    Published,
    Unchanged,
    Lost(Loss),
}

/// What became of the symbols, each at the provider that was asked last.
#[derive(Debug, Default)]
pub(crate) struct Fates(HashMap<Symbol, (ProviderName, Fate)>);

impl Fates {
    /// Adds the quotes of one request. `known` has the newest points before it.
    pub(crate) fn acquired(
        &mut self,
        provider: &ProviderName,
        quotes: impl IntoIterator<Item = (Symbol, Result<PriceEvent, Loss>)>,
        known: &[Series],
    ) {
        let known: HashMap<&Symbol, &Series> =
            known.iter().map(|point| (&point.symbol, point)).collect();

        for (symbol, quote) in quotes {
            let fate = match quote {
                Ok(event) => match known.get(&symbol) {
                    Some(point) if is_same(&event, point) => Fate::Unchanged,
                    _ => Fate::Published,
                },
                Err(loss) => Fate::Lost(loss),
            };
            self.0.insert(symbol, (provider.clone(), fate));
        }
    }

    /// Adds symbols that were not asked for after the provider failed.
    pub(crate) fn lost(
        &mut self,
        symbols: &[Symbol],
        provider: &ProviderName,
        failure: &ProviderError,
    ) {
        for symbol in symbols {
            let fate = Fate::Lost(Loss::Provider(failure.clone()));
            self.0.insert(symbol.clone(), (provider.clone(), fate));
        }
    }

    /// Why a symbol has no quote, if that is known.
    pub(crate) fn loss(&self, symbol: &Symbol) -> Option<&Loss> {
        match self.0.get(symbol) {
            Some((_, Fate::Lost(loss))) => Some(loss),
            _ => None,
        }
    }

    /// Counts and groups what became of `symbols`. One that was not asked for has failed, for the
    /// reason of the result's error.
    pub(crate) fn conclude(&self, symbols: &[Symbol], result: &mut RunResult) {
        let mut places = HashMap::new();

        for symbol in symbols {
            let (provider, fate) = match self.0.get(symbol) {
                Some((provider, fate)) => (Some(provider), Some(fate)),
                None => (None, None),
            };
            let (outcome, count) = match fate {
                Some(Fate::Published) => (Outcome::Published, &mut result.published),
                Some(Fate::Unchanged) => (Outcome::Unchanged, &mut result.unchanged),
                Some(Fate::Lost(_)) | None => (Outcome::Failed, &mut result.failed),
            };
            *count += 1;

            let problem = match fate {
                Some(Fate::Published | Fate::Unchanged) => None,
                Some(Fate::Lost(loss)) => Some((loss.kind(), loss.to_string())),
                None => Some(("not-asked", result.error.clone().unwrap_or_default())),
            };

            let place = places.entry((outcome, provider, problem.clone()));
            let place: &mut usize = place.or_insert_with(|| {
                result.outcomes.push(OutcomeGroup {
                    outcome,
                    provider: provider.cloned(),
                    symbols: Vec::new(),
                    problem: problem.map(|(kind, detail)| Failure {
                        kind: kind.to_owned(),
                        detail,
                    }),
                });
                result.outcomes.len() - 1
            });
            if let Some(group) = result.outcomes.get_mut(*place) {
                group.symbols.push(symbol.clone());
            }
        }
    }
}

/// Whether a quote is the stored one. If the point was polled with this very quote, it is unknown
/// whether it moved then, and the quote counts as new.
fn is_same(event: &PriceEvent, point: &Series) -> bool {
    event.timestamp == point.timestamp
        && event.price == point.price
        && event.currency == point.currency
        && event.polled_at > point.polled_at
}
