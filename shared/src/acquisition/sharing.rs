//! One fetch in flight: who wants a quote that is being fetched shares it.
//!
//! Within an instance the fetch itself is shared ([`super::flights`]). Across instances a lease in
//! Postgres says who fetches; the others read the result from it, be it a quote or a failure. The
//! holder renews the lease while it fetches and publishes, so one that ended without a result delays
//! the others by no more than the lease.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{Acquired, Course, Instance, Loss, Wish, ask};
use crate::market::{Symbol, Timestamp};
use crate::price_event::PriceEvent;
use crate::provider::{Provider, ProviderError, REQUEST_TIMEOUT};
use crate::repository::fetch_leases::{self, Claim, Lease, Outcome};

/// How long a holder has a symbol to itself before it has to renew the lease. A holder that was
/// killed delays the others by no more.
const LEASE: Duration = Duration::from_secs(2);
/// How often a lease is renewed. Most fetches end before the first time.
const RENEWED_EVERY: Duration = Duration::from_millis(500);
/// Longest that a symbol waits for other holders. After it, it is fetched without a lease.
const LONGEST_WAIT: Duration = REQUEST_TIMEOUT;
/// Pause between two looks at the leases of others: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// Longest that a statement about leases may take. Without an answer the symbol is fetched, or its
/// lease expires. The first statement of an instance may have to open a connection.
const STATEMENT: Duration = Duration::from_secs(3);

/// Acquires the quotes of `symbols` from `provider`, in one request unless another caller is
/// fetching some of them already. A symbol that the provider cannot be asked for takes no request,
/// no token and no probe.
///
/// # Errors
/// When a step of the `course` fails.
pub async fn acquire<C: Course>(
    course: &C,
    instance: &Instance,
    provider: &dyn Provider,
    symbols: &[Symbol],
    wish: Wish,
) -> Result<Acquired, C::Error> {
    let unaskable = match provider.unaskable(symbols).await {
        Ok(unaskable) => unaskable,
        Err(error) => return Ok(Acquired::failed(symbols, error)),
    };
    if unaskable.is_empty() {
        return share(course, instance, provider, symbols, wish).await;
    }

    let is_askable = |symbol: &&Symbol| unaskable.iter().all(|(other, _)| other != *symbol);
    let askable: Vec<Symbol> = symbols.iter().filter(is_askable).cloned().collect();

    let mut acquired = Acquired::default();
    if !askable.is_empty() {
        acquired = share(course, instance, provider, &askable, wish).await?;
    }
    let refused = unaskable.into_iter();
    acquired
        .quotes
        .extend(refused.map(|(symbol, error)| (symbol, Err(error.into()))));
    Ok(acquired)
}

/// Acquires the quotes of symbols that the provider may be asked for.
async fn share<C: Course>(
    course: &C,
    instance: &Instance,
    provider: &dyn Provider,
    symbols: &[Symbol],
    wish: Wish,
) -> Result<Acquired, C::Error> {
    // Before the leases: nothing would come of them.
    if let Some(paused) = instance.gate.shut(provider.name()) {
        return Ok(Acquired::failed(symbols, paused));
    }
    let Some(accepts) = wish.accepts.filter(|_| provider.is_remote()) else {
        return ask(course, instance, provider, symbols, wish.at, None).await;
    };

    let mut flight = instance.flights.board(provider.name(), symbols);
    let mut acquired = Acquired::default();
    if !flight.led.is_empty() {
        acquired = lead(course, instance, provider, &flight.led, wish.at, accepts).await?;
        flight.land(&acquired.quotes);
    }

    let mut left = Vec::new();
    for (symbol, joined) in flight.joined() {
        let fetched = timeout(course.longest_wait_for_others(), joined.landed()).await;
        match fetched {
            Ok(Some(quote)) if is_shareable(&quote, accepts) => {
                acquired.quotes.push((symbol, quote));
            }
            Ok(_) => left.push(symbol),
            Err(_) => acquired.quotes.push((symbol, Err(timed_out(provider)))),
        }
    }

    if !left.is_empty() {
        acquired.add(lead(course, instance, provider, &left, wish.at, accepts).await?);
    }
    Ok(acquired)
}

/// Fetches the symbols whose lease is free, and waits for the others.
async fn lead<C: Course>(
    course: &C,
    instance: &Instance,
    provider: &dyn Provider,
    symbols: &[Symbol],
    at: Timestamp,
    accepts: Timestamp,
) -> Result<Acquired, C::Error> {
    let mut claim = Claim {
        provider: provider.name(),
        holder: Uuid::new_v4(),
        lease: LEASE,
        accepts,
        waiting_since: None,
    };
    let end = Instant::now() + LONGEST_WAIT.min(course.longest_wait_for_others());
    let mut acquired = Acquired::default();
    let mut pause = PAUSES.0;
    let mut wanted = symbols.to_vec();

    loop {
        let mut found = find(course, &claim, &wanted).await;
        if Instant::now() >= end {
            found.granted.append(&mut found.elsewhere);
        }
        acquired.quotes.append(&mut found.settled);

        if !found.granted.is_empty() {
            let hold = Hold::new(&claim, &found.granted);
            let asking = ask(course, instance, provider, &found.granted, at, Some(&hold));
            let asked = hold.renewed_during(course.pool(), asking).await;
            let quotes = asked.as_ref().map_or(&[][..], |asked| &asked.quotes);
            release(course, &claim, &found.granted, quotes).await;
            acquired.add(asked?);
        }

        if found.elsewhere.is_empty() {
            return Ok(acquired);
        }
        wanted = found.elsewhere;
        claim.waiting_since = claim.waiting_since.or(found.at);
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// The leases on the symbols of one request.
pub(super) struct Hold<'a> {
    claim: &'a Claim<'a>,
    symbols: &'a [Symbol],
    /// Whether the request was sent. Until then it may wait for a budget, and others do not wait for it.
    sent: AtomicBool,
}

impl<'a> Hold<'a> {
    fn new(claim: &'a Claim<'a>, symbols: &'a [Symbol]) -> Self {
        Self {
            claim,
            symbols,
            sent: AtomicBool::new(false),
        }
    }

    /// Notes that the request is sent.
    pub(super) fn begin(&self) {
        self.sent.store(true, Ordering::Relaxed);
    }

    /// Renews the leases from the time at which the request is sent until the work is done. If
    /// Postgres does not answer, they expire.
    async fn renewed_during<T>(&self, pool: &PgPool, work: impl Future<Output = T>) -> T {
        let renewing = async {
            loop {
                sleep(RENEWED_EVERY).await;
                if self.sent.load(Ordering::Relaxed) {
                    let renewal = fetch_leases::renew(pool, self.claim, self.symbols);
                    let _ = timeout(STATEMENT, renewal).await;
                }
            }
        };

        tokio::select! {
            biased;
            done = work => done,
            never = renewing => never,
        }
    }
}

/// What a claim found.
#[derive(Debug, Default)]
struct Found {
    granted: Vec<Symbol>,
    elsewhere: Vec<Symbol>,
    /// What other holders have fetched, or failed to.
    settled: Vec<(Symbol, Result<PriceEvent, Loss>)>,
    /// The time of the claim, by Postgres's clock.
    at: Option<Timestamp>,
}

/// Claims the symbols. Without an answer of Postgres all of them are to be fetched: that a quote is
/// fetched twice harms nothing.
async fn find<C: Course>(course: &C, claim: &Claim<'_>, symbols: &[Symbol]) -> Found {
    let claimed = fetch_leases::claim(course.pool(), claim, symbols);
    let Ok(Ok((mut leases, at))) = timeout(STATEMENT, claimed).await else {
        tracing::warn!(
            provider = %claim.provider,
            "fetches are not shared: Postgres gives no leases"
        );
        return Found {
            granted: symbols.to_vec(),
            ..Found::default()
        };
    };

    // In the caller's order, in which the provider is asked.
    let mut found = Found {
        at,
        ..Found::default()
    };
    for symbol in symbols {
        let settled = match leases.remove(symbol) {
            Some(Lease::Elsewhere) => {
                found.elsewhere.push(symbol.clone());
                continue;
            }
            Some(Lease::Granted) | None => {
                found.granted.push(symbol.clone());
                continue;
            }
            Some(Lease::Fetched(event)) => Ok(event),
            Some(Lease::Failed(error)) => Err(Loss::Provider(error)),
        };
        found.settled.push((symbol.clone(), settled));
    }
    found
}

/// Leaves what came of the fetches to those who wait. What cannot be released expires.
async fn release<C: Course>(
    course: &C,
    claim: &Claim<'_>,
    granted: &[Symbol],
    quotes: &[(Symbol, Result<PriceEvent, Loss>)],
) {
    let outcome = |symbol: &Symbol| match quotes.iter().find(|(quoted, _)| quoted == symbol) {
        Some((_, Ok(event))) => Outcome::Published(event.clone()),
        Some((_, Err(Loss::Provider(error)))) => Outcome::Failed(error.clone()),
        Some((_, Err(Loss::Log(_) | Loss::OutOfTime))) | None => Outcome::Ended,
    };
    let outcomes: Vec<_> = granted
        .iter()
        .map(|symbol| (symbol.clone(), outcome(symbol)))
        .collect();

    let release = fetch_leases::release(course.pool(), claim.provider, claim.holder, &outcomes);
    let _ = timeout(STATEMENT, release).await;
}

/// Whether another caller's outcome is one for this caller, too: its quote is recent enough, or the
/// provider failed. That the other caller had no time left, or could not publish, is its own.
fn is_shareable(quote: &Result<PriceEvent, Loss>, accepts: Timestamp) -> bool {
    match quote {
        Ok(event) => event.polled_at >= accepts,
        Err(loss) => matches!(loss, Loss::Provider(_)),
    }
}

fn timed_out(provider: &dyn Provider) -> Loss {
    let provider = provider.name().clone();
    Loss::Provider(ProviderError::TimedOut { provider })
}
