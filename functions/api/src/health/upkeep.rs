//! Whether upkeep does its work. Otherwise its failure would show only once partitions or schedules
//! are missing.

use chrono::TimeDelta;
use serde::Serialize;
use shared::market::Timestamp;
use shared::repository::part_states::{self, Part, PartState};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{CHECK_TIMEOUT, Check};
use crate::state::AppState;

/// Longest time without a successful run of upkeep. It runs every ten minutes, and three failed
/// runs are no coincidence.
const LONGEST_WITHOUT_SUCCESS: TimeDelta = TimeDelta::minutes(30);

/// Whether upkeep maintains the schema, partitions, topics and schedules.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Upkeep {
    #[serde(flatten)]
    pub(super) check: Check,
    /// The end of the last run in which all tasks succeeded; null if there was none, or Postgres
    /// does not answer.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success_at: Option<Timestamp>,
}

pub(super) async fn check(state: &AppState) -> Upkeep {
    match timeout(CHECK_TIMEOUT, part_states::get(&state.db, Part::Upkeep)).await {
        Ok(Ok(noted)) => Upkeep {
            check: judge(&noted),
            last_success_at: noted.succeeded_at,
        },
        Ok(Err(_)) | Err(_) => {
            let detail = "Postgres does not tell when it last succeeded".to_owned();
            Upkeep {
                check: Check::degraded(Some(detail)),
                last_success_at: None,
            }
        }
    }
}

fn judge(noted: &PartState) -> Check {
    let since = match noted.since_success() {
        Some(since) if since <= LONGEST_WITHOUT_SUCCESS => return Check::ok(),
        Some(since) => format!("has not succeeded for {} minutes", since.num_minutes()),
        None => "has not succeeded yet".to_owned(),
    };

    let failed_since = noted
        .failed_at
        .is_some_and(|failed| noted.succeeded_at.is_none_or(|ok| ok < failed));
    let tasks = noted.error.as_deref().filter(|_| failed_since);
    let failed = tasks.map_or_else(String::new, |tasks| {
        format!("; these tasks failed last, for reasons that its log tells: {tasks}")
    });

    Check::degraded(Some(since + &failed))
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::health::Status;

    fn judged(succeeded: Option<i64>, failed: Option<i64>) -> Check {
        let read_at = Utc::now();
        let before = |minutes| read_at - TimeDelta::minutes(minutes);

        judge(&PartState {
            read_at,
            succeeded_at: succeeded.map(before),
            failed_at: failed.map(before),
            error: failed.map(|_| "topics".to_owned()),
        })
    }

    #[test]
    fn upkeep_is_degraded_once_it_has_not_succeeded_for_half_an_hour() {
        for (succeeded, failed) in [(0, None), (30, None), (29, Some(1)), (1, Some(20))] {
            assert_eq!(
                judged(Some(succeeded), failed).status,
                Status::Ok,
                "{succeeded} {failed:?}"
            );
        }

        let late = judged(Some(31), None);
        assert_eq!(
            late.detail.as_deref(),
            Some("has not succeeded for 31 minutes")
        );

        let failing = judged(Some(45), Some(5));
        assert_eq!(failing.status, Status::Degraded);
        assert!(failing.detail.unwrap().ends_with("log tells: topics"));

        assert_eq!(
            judged(Some(45), Some(50)).detail.as_deref(),
            Some("has not succeeded for 45 minutes")
        );
        assert_eq!(
            judged(None, None).detail.as_deref(),
            Some("has not succeeded yet")
        );
    }
}
