//! The facts of `GET /health` as metrics: lines in `CloudWatch`'s embedded metric format, which it
//! reads from the function's log. No request is sent for them.
//!
//! Format:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::fmt;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Map, Value, json};
use shared::config::Kafka;
use shared::market::Timestamp;
use shared::price_log::backlog::{Backlog, KafkaBacklog, PartitionBacklog};
use shared::repository::{self, polling_jobs};
use sqlx::PgPool;
use tokio::time::timeout;
use tracing::warn;

use crate::time::TELLING;

/// The metrics' namespace in `CloudWatch`.
const NAMESPACE: &str = "MarketData";
/// Longest that the query of one topic takes.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The consumer group of the command that sends dead letters back.
const REDRIVE_GROUP: &str = "redrive";

/// Writes the metrics at the end of each run.
pub struct Metrics {
    function: String,
    prices: KafkaBacklog,
    dead_letters: KafkaBacklog,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

/// The facts of a run; `None` where a fact could not be read.
#[derive(Clone, Debug, Default)]
struct Facts {
    succeeded: bool,
    prices: Option<Vec<PartitionBacklog>>,
    dead_letters: Option<Vec<PartitionBacklog>>,
    stalled_jobs: Option<u64>,
}

impl Metrics {
    /// The metrics of the function with this name, and of the averager that reads in
    /// `averager_group`.
    #[must_use]
    pub fn new(function: String, kafka: &Kafka, averager_group: &str) -> Self {
        let prices = KafkaBacklog::new(kafka, &kafka.price_topic, averager_group);
        let dead_letters = KafkaBacklog::new(kafka, &kafka.dead_letter_topic, REDRIVE_GROUP);
        Self {
            function,
            prices,
            dead_letters,
        }
    }

    /// Writes the metrics of a finished run. What could not be read is omitted, which the alarms
    /// treat as a problem.
    #[expect(
        clippy::print_stdout,
        reason = "a function's standard output is its log, and the format wants bare lines"
    )]
    pub(crate) async fn tell(&self, pool: &PgPool, succeeded: bool) {
        let now = Utc::now();
        let (prices, dead_letters, stalled_jobs) = tokio::join!(
            read(&self.prices),
            read(&self.dead_letters),
            stalled_jobs(pool, now)
        );

        let facts = Facts {
            succeeded,
            prices,
            dead_letters,
            stalled_jobs,
        };
        for line in lines(&self.function, &facts, now) {
            println!("{line}");
        }
    }
}

async fn read(backlog: &KafkaBacklog) -> Option<Vec<PartitionBacklog>> {
    let read = backlog.read(TIMEOUT).await;
    read.inspect_err(|error| warn!(%error, ?backlog, "a backlog could not be read"))
        .ok()
}

async fn stalled_jobs(pool: &PgPool, now: Timestamp) -> Option<u64> {
    let stalled = timeout(TELLING, polling_jobs::stalled(pool, now)).await;
    stalled
        .unwrap_or_else(|_| Err(repository::Error::unanswered()))
        .inspect_err(|error| warn!(%error, "stalled jobs could not be counted"))
        .ok()
        .map(|(count, _)| count)
}

/// One line for the whole pipeline, and one for each partition.
fn lines(function: &str, facts: &Facts, now: Timestamp) -> Vec<Value> {
    let mut whole = vec![("UpkeepSuccesses", "Count", i64::from(facts.succeeded))];

    let prices = facts.prices.as_deref().unwrap_or_default();
    if facts.prices.is_some() {
        whole.push((
            "RecordsBehind",
            "Count",
            prices.iter().map(|of| of.records).sum(),
        ));

        // If one age is unknown, the greatest one is unknown too.
        let ages: Option<Vec<i64>> = prices.iter().map(|of| seconds_behind(of, now)).collect();
        let oldest = ages.and_then(|ages| ages.into_iter().max());
        whole.extend(oldest.map(|seconds| ("SecondsBehind", "Seconds", seconds)));
    }

    if let Some(letters) = &facts.dead_letters {
        whole.push((
            "DeadLetters",
            "Count",
            letters.iter().map(|of| of.records).sum(),
        ));
    }

    if let Some(stalled) = facts.stalled_jobs {
        whole.push((
            "StalledJobs",
            "Count",
            i64::try_from(stalled).unwrap_or(i64::MAX),
        ));
    }

    let mut lines = vec![line(&[("FunctionName", function)], &whole, now)];
    for of in prices {
        let partition = of.partition.to_string();
        let mut metrics = vec![("RecordsBehind", "Count", of.records)];
        metrics
            .extend(seconds_behind(of, now).map(|seconds| ("SecondsBehind", "Seconds", seconds)));
        lines.push(line(
            &[("FunctionName", function), ("Partition", &partition)],
            &metrics,
            now,
        ));
    }

    lines
}

/// The age of the oldest remaining record, in seconds; `None` if it could not be read.
fn seconds_behind(of: &PartitionBacklog, now: Timestamp) -> Option<i64> {
    if of.records == 0 {
        Some(0)
    } else {
        of.oldest.map(|oldest| (now - oldest).num_seconds().max(0))
    }
}

fn line(dimensions: &[(&str, &str)], metrics: &[(&str, &str, i64)], now: Timestamp) -> Value {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let definitions: Vec<Value> = metrics
        .iter()
        .map(|(name, unit, _)| json!({"Name": name, "Unit": unit}))
        .collect();

    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now.timestamp_millis(),
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions}],
        }),
    );

    line.extend(
        dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value))),
    );
    line.extend(
        metrics
            .iter()
            .map(|(name, _, value)| ((*name).to_owned(), json!(value))),
    );
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_run_is_told_as_a_whole_and_by_partition() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let of = |partition, records, age: Option<i64>| PartitionBacklog {
            partition,
            records,
            oldest: age.map(|age| now - TimeDelta::seconds(age)),
        };

        let facts = Facts {
            succeeded: true,
            prices: Some(vec![of(0, 0, None), of(1, 5, Some(90))]),
            dead_letters: Some(vec![of(0, 2, None)]),
            stalled_jobs: Some(3),
        };

        let lines = lines("market-upkeep", &facts, now);

        assert_eq!(lines.len(), 3);
        let expected = json!({
            "_aws": {"Timestamp": 1_795_867_200_000_i64, "CloudWatchMetrics": [{
                "Namespace": "MarketData",
                "Dimensions": [["FunctionName"]],
                "Metrics": [
                    {"Name": "UpkeepSuccesses", "Unit": "Count"},
                    {"Name": "RecordsBehind", "Unit": "Count"},
                    {"Name": "SecondsBehind", "Unit": "Seconds"},
                    {"Name": "DeadLetters", "Unit": "Count"},
                    {"Name": "StalledJobs", "Unit": "Count"},
                ],
            }]},
            "FunctionName": "market-upkeep",
            "UpkeepSuccesses": 1, "RecordsBehind": 5, "SecondsBehind": 90, "DeadLetters": 2,
            "StalledJobs": 3,
        });
        assert_eq!(lines[0], expected);
        assert_eq!(
            lines[2]["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
            json!([["FunctionName", "Partition"]])
        );
        assert_eq!(
            (&lines[2]["Partition"], &lines[2]["SecondsBehind"]),
            (&json!("1"), &json!(90))
        );
        assert_eq!(lines[1]["SecondsBehind"], 0);
    }

    #[test]
    fn what_could_not_be_read_is_left_out() {
        let now = Utc::now();
        let lines = lines("upkeep", &Facts::default(), now);
        assert_eq!((lines.len(), &lines[0]["UpkeepSuccesses"]), (1, &json!(0)));

        for absent in [
            "RecordsBehind",
            "SecondsBehind",
            "DeadLetters",
            "StalledJobs",
        ] {
            assert_eq!(lines[0].get(absent), None, "{absent}");
        }

        let unread = PartitionBacklog {
            partition: 0,
            records: 3,
            oldest: None,
        };
        let facts = Facts {
            prices: Some(vec![unread]),
            ..Facts::default()
        };

        let lines = super::lines("upkeep", &facts, now);
        assert_eq!(
            (&lines[0]["RecordsBehind"], lines[0].get("SecondsBehind")),
            (&json!(3), None)
        );
    }

    #[test]
    fn a_partition_whose_age_is_unknown_does_not_hide_behind_those_that_are_sound() {
        let sound = PartitionBacklog {
            partition: 0,
            records: 0,
            oldest: None,
        };
        let unread = PartitionBacklog {
            partition: 1,
            records: 3,
            oldest: None,
        };
        let facts = Facts {
            prices: Some(vec![sound, unread]),
            ..Facts::default()
        };

        let lines = lines("upkeep", &facts, Utc::now());

        assert_eq!(
            lines[0].get("SecondsBehind"),
            None,
            "no age is the greatest"
        );
        assert_eq!(
            (lines[1].get("SecondsBehind"), lines[2].get("SecondsBehind")),
            (Some(&json!(0)), None)
        );
    }
}
