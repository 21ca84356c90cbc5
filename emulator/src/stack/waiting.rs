//! Waiting for others: limited in time, and announced with the reason.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::announcements::Announcements;

/// A wait that lasts this long is announced.
const SILENCE: Duration = Duration::from_secs(5);

/// A wait and its limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait<'a> {
    pub(super) patience: Duration,
    pub(super) announcements: Announcements,
    /// The event that did not happen if the time runs out.
    pub(super) failure: &'a str,
}

impl Wait<'_> {
    /// Waits for `outcome`. `why` describes what is missing, in the notice of a long wait and in
    /// the error.
    pub(super) async fn until<T>(
        &self,
        outcome: impl Future<Output = anyhow::Result<T>>,
        why: impl AsyncFn() -> String,
    ) -> anyhow::Result<T> {
        let (start, seconds) = (Instant::now(), self.patience.as_secs());

        let notice = async {
            sleep_until(start + SILENCE).await;
            self.announcements
                .notice(&format!("waiting for up to {seconds} s: {}", why().await));
            std::future::pending::<Infallible>().await
        };

        tokio::select! {
            outcome = timeout_at(start + self.patience, outcome) => match outcome {
                Ok(outcome) => outcome,
                Err(_elapsed) => anyhow::bail!("{} within {seconds} s: {}", self.failure, why().await),
            },
            never = notice => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_in_vain_ends_with_what_was_missing() {
        let wait = Wait {
            patience: Duration::ZERO,
            announcements: Announcements::silent(),
            failure: "upkeep did not succeed",
        };

        let never = std::future::pending::<anyhow::Result<()>>();
        let error = wait
            .until(never, async || "Kafka is unavailable".to_owned())
            .await
            .unwrap_err();

        assert_eq!(
            error.to_string(),
            "upkeep did not succeed within 0 s: Kafka is unavailable"
        );

        let patient = Wait {
            patience: Duration::from_secs(30),
            ..wait
        };

        assert!(
            patient
                .until(async { Ok(()) }, async || String::new())
                .await
                .is_ok()
        );
    }
}
