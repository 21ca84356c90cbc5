//! Whether published events are averaged, and how far the averager is behind.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::Serialize;
use shared::market::Timestamp;
use shared::price_log::backlog::PartitionBacklog;
use shared::repository::part_states::{self, Part, PartState};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{CHECK_TIMEOUT, Check, within};
use crate::state::AppState;

/// Greatest age of a record that is not averaged yet; an older one shows that something is wrong.
const MOST_BEHIND: TimeDelta = TimeDelta::seconds(60);
/// How long the averager's last failure is reported.
const ERROR_AGE: TimeDelta = TimeDelta::hours(1);
/// How long a backlog read from Kafka is used again.
const READ_AGE: Duration = Duration::from_secs(3);

/// Whether price events become averages.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Averaging {
    #[serde(flatten)]
    pub(super) check: Check,
    /// The lag of each partition of the topic of price events; empty if Kafka does not report it.
    partitions: Vec<PartitionLag>,
    /// The averager's last failure within the past hour. The batch may have been stored since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    last_error: Option<LastError>,
}

/// The records of a partition that are not averaged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct PartitionLag {
    /// The partition's number, from 0.
    partition: i32,
    /// Number of records that are not averaged yet.
    records_behind: i64,
    /// The age of the oldest of them in seconds; 0 if there is none, null if it could not be read.
    seconds_behind: Option<i64>,
}

/// A failure of the averager.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct LastError {
    /// When the failure was recorded.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The error, without internal details.
    error: String,
}

pub(super) async fn check(state: &AppState) -> Averaging {
    let (backlog, noted) = tokio::join!(backlog(state), noted(state));
    let last_error = noted.as_ref().and_then(last_error);

    match backlog {
        Ok(backlog) => of_backlog(&backlog, Utc::now(), last_error),
        Err(detail) => Averaging {
            check: Check::degraded(Some(detail)),
            partitions: Vec::new(),
            last_error,
        },
    }
}

async fn backlog(state: &AppState) -> Result<Vec<PartitionBacklog>, String> {
    let known = &state.observed.backlog;
    if let Some(backlog) = known.younger_than(READ_AGE, &()) {
        return Ok(backlog);
    }

    let read = within(async {
        state.backlog.read(CHECK_TIMEOUT).await.map_err(|error| {
            tracing::warn!(%error, "how far the averager is behind could not be read");
            "Kafka does not tell how far the averager is behind".to_owned()
        })
    });
    let backlog = read.await?;

    known.remember((), backlog.clone());
    Ok(backlog)
}

/// The state that the averager recorded. An unavailable Postgres is reported by its own check.
async fn noted(state: &AppState) -> Option<PartState> {
    timeout(CHECK_TIMEOUT, part_states::get(&state.db, Part::Averager))
        .await
        .ok()?
        .ok()
}

fn last_error(noted: &PartState) -> Option<LastError> {
    let recent = noted.since_failure().is_some_and(|age| age < ERROR_AGE);

    recent
        .then(|| {
            Some(LastError {
                at: noted.failed_at?,
                error: noted.error.clone()?,
            })
        })
        .flatten()
}

fn of_backlog(
    backlog: &[PartitionBacklog],
    now: Timestamp,
    last_error: Option<LastError>,
) -> Averaging {
    let lag = |of: &PartitionBacklog| {
        let age = of.oldest.map(|oldest| (now - oldest).num_seconds().max(0));
        PartitionLag {
            partition: of.partition,
            records_behind: of.records,
            seconds_behind: if of.records == 0 { Some(0) } else { age },
        }
    };
    let partitions: Vec<PartitionLag> = backlog.iter().map(lag).collect();

    // A record that cannot be read is not being averaged either.
    let is_late = |lag: &&PartitionLag| {
        lag.seconds_behind
            .is_none_or(|age| age > MOST_BEHIND.num_seconds())
    };
    let late: Vec<String> = partitions.iter().filter(is_late).map(told).collect();
    let check = if late.is_empty() {
        Check::ok()
    } else {
        Check::degraded(Some(late.join("; ")))
    };

    Averaging {
        check,
        partitions,
        last_error,
    }
}

fn told(lag: &PartitionLag) -> String {
    let PartitionLag {
        partition,
        records_behind,
        seconds_behind,
    } = lag;

    let age = seconds_behind.map_or("of unknown age".to_owned(), |age| format!("{age} s old"));
    let records = if *records_behind == 1 {
        "record"
    } else {
        "records"
    };

    format!("partition {partition} is {records_behind} {records} behind, the oldest {age}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::check::Status;

    fn judged(records: i64, age: Option<i64>) -> Averaging {
        let now = Utc::now();
        let oldest = age.map(|age| now - TimeDelta::seconds(age));
        let idle = PartitionBacklog {
            partition: 0,
            records: 0,
            oldest: None,
        };

        of_backlog(
            &[
                idle,
                PartitionBacklog {
                    partition: 1,
                    records,
                    oldest,
                },
            ],
            now,
            None,
        )
    }

    #[test]
    fn records_may_wait_for_a_minute() {
        for (records, age) in [(0, None), (1, Some(0)), (50_000, Some(60)), (3, Some(-5))] {
            assert_eq!(
                judged(records, age).check.status,
                Status::Ok,
                "{records} {age:?}"
            );
        }

        let late = judged(7, Some(61));
        assert_eq!(late.check.status, Status::Degraded);
        let detail = late.check.detail.unwrap();
        assert_eq!(
            detail,
            "partition 1 is 7 records behind, the oldest 61 s old"
        );

        assert_eq!(
            judged(7, None).check.status,
            Status::Degraded,
            "a record that cannot be read is stuck"
        );
    }

    #[test]
    fn an_error_is_told_for_an_hour() {
        let read_at = Utc::now();
        let noted = |minutes| {
            let failed_at = Some(read_at - TimeDelta::minutes(minutes));
            last_error(&PartState {
                read_at,
                succeeded_at: None,
                failed_at,
                error: Some("x".to_owned()),
            })
        };

        assert!(noted(59).is_some());
        assert!(noted(61).is_none());

        let never = PartState {
            read_at,
            succeeded_at: None,
            failed_at: None,
            error: None,
        };
        assert!(last_error(&never).is_none());
    }
}
