//! What an answer means for the provider's breaker.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;
use uuid::Uuid;

use super::gate::{Gate, Pass};
use crate::provider::{Answer, Provider, ProviderError, Refusal};
use crate::repository::breakers::{self, Failure, OpeningRule};

/// Failures in a row that open a breaker.
const FAILURES: u32 = 5;
/// How long failures open it for the first time; each further time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Longest that failures open it.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
/// How long a refused key opens it. Another key closes it at once.
const REFUSED_PAUSE: Duration = Duration::from_hours(1);
/// A provider that has not answered after this time counts as failed, even if its caller waits no
/// longer. If the caller left earlier, nothing is known of it.
const FAIR_WAIT: Duration = Duration::from_secs(5);
/// Longest that recording an outcome may take. The next outcome is recorded, too.
const STATEMENT: Duration = Duration::from_secs(2);

/// What the breaker makes of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// The provider answered.
    Answered,
    /// It failed: that counts.
    Failed(String),
    /// It must not be asked for this long.
    Pause(String, Duration),
    /// It refuses our key, or our address.
    Refused(String),
}

/// What came of a request that passed the gate.
pub(super) enum Outcome<'a> {
    /// The provider answered, or failed.
    Came(&'a Result<Answer, ProviderError>),
    /// The caller left after this time, without an answer.
    CutOff(Duration),
}

/// Records what came of a request, and logs if the breaker opened or closed. A request that was not
/// sent, or was given too little time, says nothing about the provider: its right to probe goes
/// back, and if it was not sent, so do its tokens.
pub(super) async fn report(
    pool: &PgPool,
    gate: &Gate,
    provider: &dyn Provider,
    pass: &Pass,
    outcome: &Outcome<'_>,
) {
    if !provider.is_remote() {
        return;
    }

    let verdict = match outcome {
        Outcome::Came(Ok(answer)) if answer.requests == 0 => {
            return gate.give_back(pool, provider, pass).await;
        }
        Outcome::CutOff(after) if *after < FAIR_WAIT => {
            return gate.give_back_probe(pool, provider, pass).await;
        }
        Outcome::Came(answer) => failure(answer).map_or(Verdict::Answered, meaning),
        Outcome::CutOff(after) => {
            let (name, seconds) = (provider.name(), after.as_secs());
            Verdict::Failed(format!("{name} did not answer within {seconds} s"))
        }
    };
    record(pool, gate, provider, pass, verdict).await;
}

/// Records what an answer means, here and in Postgres.
async fn record(
    pool: &PgPool,
    gate: &Gate,
    provider: &dyn Provider,
    pass: &Pass,
    verdict: Verdict,
) {
    // Failures of requests that were admitted before are known here only.
    let failed_before = pass.failed_before || gate.has_failed(provider.name());
    gate.note(provider.name(), verdict != Verdict::Answered);

    let statement = async {
        match verdict {
            Verdict::Answered => answered(pool, provider, pass.probe_id, failed_before).await,
            verdict => failed(pool, provider, pass, verdict).await,
        }
    };
    if !matches!(timeout(STATEMENT, statement).await, Ok(Ok(()))) {
        tracing::warn!(
            provider = %provider.name(),
            "the breaker does not know of the last answer: Postgres did not take it"
        );
    }
}

/// Nothing has to be recorded unless there was a failure before.
async fn answered(
    pool: &PgPool,
    provider: &dyn Provider,
    probe_id: Option<Uuid>,
    failed_before: bool,
) -> Result<(), crate::repository::Error> {
    if probe_id.is_none() && !failed_before {
        return Ok(());
    }

    if breakers::succeeded(pool, provider.name(), probe_id).await? {
        let reason = "the probe was answered";
        tracing::info!(provider = %provider.name(), reason, "breaker closed");
    }
    Ok(())
}

async fn failed(
    pool: &PgPool,
    provider: &dyn Provider,
    pass: &Pass,
    verdict: Verdict,
) -> Result<(), crate::repository::Error> {
    let digest = provider.key_digest().unwrap_or_default();
    let (reason, pause, refused_key) = match verdict {
        Verdict::Answered => return Ok(()),
        Verdict::Failed(reason) => (reason, None, None),
        Verdict::Pause(reason, pause) => (reason, Some(pause), None),
        Verdict::Refused(reason) => (reason, Some(REFUSED_PAUSE), Some(digest.as_str())),
    };

    let failure = Failure {
        provider: provider.name(),
        probe_id: pass.probe_id,
        reason: &reason,
        pause,
        refused_key,
        moment: None,
    };
    let rule = OpeningRule {
        failures: FAILURES,
        first: FIRST_PAUSE,
        longest: LONGEST_PAUSE,
        jitter: jitter(Uuid::new_v4()),
    };

    if let Some(until) = breakers::failed(pool, &failure, &rule).await? {
        tracing::warn!(provider = %provider.name(), reason, %until, "breaker opened");
    }
    Ok(())
}

/// The error of an answer that concerns the provider as a whole, if there is one. An answer that
/// limits us or refuses our key for one symbol does so for all.
fn failure(answer: &Result<Answer, ProviderError>) -> Option<&ProviderError> {
    match answer {
        Ok(answer) => answer
            .quotes
            .iter()
            .filter_map(|(_, quote)| quote.as_ref().err())
            .find(|error| matches!(meaning(error), Verdict::Pause(..) | Verdict::Refused(_))),
        Err(error) => Some(error),
    }
}

fn meaning(error: &ProviderError) -> Verdict {
    let reason = error.to_string();
    match error {
        ProviderError::UnknownSymbol { .. }
        | ProviderError::NoPrice { .. }
        | ProviderError::Unspelled { .. }
        | ProviderError::Paused { .. } => Verdict::Answered,
        ProviderError::RateLimited { .. } => {
            Verdict::Pause(reason, error.wait().unwrap_or(FIRST_PAUSE))
        }
        ProviderError::NotAllowed { provider, refusal } => {
            let variable = format!("{}_API_KEY", provider.as_str().to_ascii_uppercase());
            match refusal {
                Refusal::NeedsKey(_) => Verdict::Answered,
                Refusal::KeyRefused => {
                    Verdict::Refused(format!("{reason}: set {variable} to a key that it accepts"))
                }
                Refusal::Blocked => {
                    Verdict::Refused(format!("{reason}: leave it out of the lists of providers"))
                }
                // It concerns what was asked for: other requests may be allowed.
                Refusal::Plan => Verdict::Answered,
            }
        }
        ProviderError::TimedOut { .. }
        | ProviderError::Unavailable { .. }
        | ProviderError::Malformed { .. } => Verdict::Failed(reason),
    }
}

/// A factor from 0.8 to 1.2.
fn jitter(random: Uuid) -> f64 {
    let [byte, ..] = random.into_bytes();
    0.8 + 0.4 * f64::from(byte) / 255.0
}
