//! What a request owes the budget, or gets back from it, once it was sent or could not be.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Gate, Pass};
use crate::market::ProviderName;
use crate::provider::Provider;
use crate::repository::request_budgets::{self, Admission, Unused};

/// Longest that a statement of a settlement may take.
const STATEMENT: Duration = Duration::from_secs(1);

impl Gate {
    /// Gives back the tokens, and the right to probe, of a request that was not sent.
    pub(in crate::acquisition) async fn give_back(
        &self,
        pool: &PgPool,
        provider: &dyn Provider,
        pass: &Pass,
    ) {
        let is_limited = provider.limits().of_windows().iter().any(Option::is_some);
        if let Some(tokens) = pass.tokens
            && (is_limited || pass.probe_id.is_some())
        {
            give_back(pool, provider.name(), tokens, pass.probe_id).await;
        }
    }

    /// Gives back the right to probe of a request that was sent and taught us nothing.
    pub(in crate::acquisition) async fn give_back_probe(
        &self,
        pool: &PgPool,
        provider: &dyn Provider,
        pass: &Pass,
    ) {
        if let (Some(probe_id), Some(tokens)) = (pass.probe_id, pass.tokens) {
            let none = Unused {
                tokens: 0,
                ..tokens
            };
            give_back(pool, provider.name(), none, Some(probe_id)).await;
        }
    }

    /// Counts the redirections that were followed, also for a request that failed: each was a
    /// request of its own. Those of requests at the same time are counted by whichever ends first.
    pub(in crate::acquisition) async fn settle(
        &self,
        pool: &PgPool,
        provider: &dyn Provider,
        symbols: usize,
    ) {
        let redirections = provider.take_redirections();
        if redirections == 0 {
            return;
        }

        let (limits, key) = (provider.limits(), provider.key_digest());
        let needed = limits.cost_of(symbols).saturating_mul(redirections);
        let admission = Admission {
            provider: provider.name(),
            key: key.as_deref(),
            limits: limits.of_windows(),
            utc_day: limits.utc_day,
            needed,
            wanted: needed,
            unused: &[],
            probe_id: Uuid::new_v4(),
            probe_time: Duration::ZERO,
            moment: None,
        };
        let _ = timeout(STATEMENT, request_budgets::admit(pool, &admission)).await;
    }
}

async fn give_back(pool: &PgPool, name: &ProviderName, tokens: Unused, probe_id: Option<Uuid>) {
    let given = request_budgets::give_back(pool, name, tokens, probe_id);
    if !matches!(timeout(STATEMENT, given).await, Ok(Ok(()))) {
        tracing::warn!(
            provider = %name,
            "what a request had at the gate is lost: Postgres did not take it back"
        );
    }
}
