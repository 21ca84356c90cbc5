//! Which ticks are polled together, so that they share requests.
//!
//! Ticks of the same second whose jobs have the same providers form parties. The providers are
//! asked for the union of a party's symbols, and each job gets the quotes of its own. A party is no
//! larger than what its first provider answers at the same time, so no job waits for the requests
//! of another.

use std::cmp::Reverse;
use std::collections::HashSet;

use shared::market::{ProviderName, Symbol, Timestamp};
use shared::provider::Limits;
use shared::repository::polling_jobs::PollingJob;
use shared::repository::polling_runs::Claim;

/// Most requests of one party that are under way at the same time, also if the provider allows
/// more.
const MOST_AT_ONCE: u32 = 32;

/// A claimed tick, with its job.
#[derive(Clone, Debug)]
pub(crate) struct Tick {
    /// The job, with the symbols that are asked for.
    pub(crate) job: PollingJob,
    pub(crate) claim: Claim,
    /// The job's other symbols: their market is closed.
    pub(crate) left_out: Vec<Symbol>,
}

impl Tick {
    /// A tick with the symbols that are asked for: of a job with market hours, those whose market
    /// may be open. A request asks for all.
    pub(crate) fn new(mut job: PollingJob, claim: Claim) -> Self {
        let PollingJob {
            symbols,
            closed_markets,
            ..
        } = &mut job;
        let is_left_out = |symbol: &mut Symbol| {
            !claim.requested && closed_markets.leaves_out(symbol, claim.tick_time)
        };
        let left_out = symbols.extract_if(.., is_left_out).collect();

        Self {
            job,
            claim,
            left_out,
        }
    }

    /// The job's next tick.
    pub(crate) fn next(&self) -> Timestamp {
        self.job.grid().next_after(self.claim.tick_time)
    }
}

/// A party that may still grow.
struct Party {
    ticks: Vec<Tick>,
    symbols: HashSet<Symbol>,
    room: usize,
}

/// How many requests of a party are under way at the same time.
pub(crate) fn at_once(limits: &Limits) -> usize {
    size(limits.max_concurrent.clamp(1, MOST_AT_ONCE))
}

/// Gathers ticks into parties. `limits_of` knows the providers' limits.
pub(crate) fn gather(
    mut ticks: Vec<Tick>,
    limits_of: impl Fn(&ProviderName) -> Option<Limits>,
) -> Vec<Vec<Tick>> {
    // The largest first: the others fill what these leave.
    ticks.sort_by_key(|tick| Reverse(tick.job.symbols.len()));
    let mut parties: Vec<Party> = Vec::new();

    for tick in ticks {
        if let Some(party) = parties.iter_mut().find(|party| party.takes(&tick)) {
            party.add(tick);
            continue;
        }

        let first = tick.job.provider.iter().next();
        let room = first.and_then(&limits_of).map_or(0, |limits| room(&limits));
        let mut party = Party {
            ticks: Vec::new(),
            symbols: HashSet::new(),
            room,
        };
        party.add(tick);
        parties.push(party);
    }

    parties.into_iter().map(|party| party.ticks).collect()
}

/// The symbols that a provider with these limits answers at the same time. None if it takes one in
/// a request: then jobs share nothing but equal symbols, and those are shared anyway.
fn room(limits: &Limits) -> usize {
    match size(limits.max_symbols) {
        0 | 1 => 0,
        symbols => symbols.saturating_mul(at_once(limits)),
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Party {
    fn takes(&self, tick: &Tick) -> bool {
        let asks_alike = self.ticks.first().is_some_and(|first| {
            first.claim.tick_time == tick.claim.tick_time && first.job.provider == tick.job.provider
        });
        if !asks_alike || tick.job.symbols.len() > self.room {
            return false;
        }

        let symbols = tick.job.symbols.iter();
        let added = symbols.filter(|symbol| !self.symbols.contains(*symbol));
        self.symbols.len() + added.count() <= self.room
    }

    fn add(&mut self, tick: Tick) {
        self.symbols.extend(tick.job.symbols.iter().cloned());
        self.ticks.push(tick);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    fn tick(providers: &str, symbols: &[&str]) -> Tick {
        let start = Timestamp::from_timestamp(1_700_000_000, 0).unwrap();
        let job = PollingJob {
            job_id: Uuid::new_v4(),
            symbols: symbols.iter().map(|name| name.parse().unwrap()).collect(),
            provider: providers.parse().unwrap(),
            interval_seconds: 10,
            start_at: start,
            created_at: start,
            last_firing_at: None,
            consecutive_failures: 0,
            backing_off_until: None,
            market_hours: false,
            closed_markets: shared::repository::polling_jobs::ClosedMarkets::default(),
            closed_until: None,
            overdue_at: None,
            configuration: 0,
            backing_off_since: None,
            active_since: None,
            paused_at: None,
            last_run: None,
        };
        let claim = Claim::new(job.job_id, start);
        Tick::new(job, claim)
    }

    fn limits(max_symbols: u32, max_concurrent: u32) -> Limits {
        Limits {
            max_concurrent,
            ..Limits::unlimited(max_symbols)
        }
    }

    fn sizes(parties: &[Vec<Tick>]) -> Vec<usize> {
        parties.iter().map(Vec::len).collect()
    }

    #[test]
    fn parties_are_as_large_as_what_the_provider_answers_at_the_same_time() {
        let jobs = |count: usize| -> Vec<Tick> {
            (0..count)
                .map(|number| tick("a", &[&format!("S{number}")]))
                .collect()
        };

        let of = |count, limits: Limits| sizes(&gather(jobs(count), |_| Some(limits)));
        assert_eq!(of(200, limits(50, 1)), [50; 4]);
        assert_eq!(of(200, limits(50, 3)), [150, 50]);
        assert_eq!(of(5, limits(1, 8)), [1; 5]);
        assert_eq!(sizes(&gather(jobs(3), |_| None)), [1; 3]);
    }

    #[test]
    fn only_ticks_of_the_same_time_and_providers_are_polled_together() {
        let mut later = tick("a", &["X"]);
        later.claim.tick_time += TimeDelta::seconds(1);
        let ticks = vec![
            tick("a", &["X"]),
            tick("a", &["Y", "X"]),
            tick("a,b", &["X"]),
            tick("b", &["X"]),
            later,
        ];

        let parties = gather(ticks, |_| Some(limits(10, 1)));
        assert_eq!(sizes(&parties), [2, 1, 1, 1]);
    }

    #[test]
    fn equal_symbols_take_room_once_and_a_job_that_is_too_large_is_alone() {
        let ticks = vec![
            tick("a", &["A", "B", "C", "D"]),
            tick("a", &["A", "B", "C"]),
            tick("a", &["B", "A"]),
            tick("a", &["C"]),
            tick("a", &["X"]),
        ];

        let parties = gather(ticks, |_| Some(limits(3, 1)));
        assert_eq!(sizes(&parties), [1, 3, 1]);
    }
}
