//! `emulator health`: whether the emulator that uses a data directory works, for people and for
//! health checks in containers, which may have no other program to ask it.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::cli::HealthArguments;
use crate::data_directory;
use crate::event_source_mapping::Report;
use crate::health_note::HealthNote;

/// Longer than the api takes for its own checks.
const PATIENCE: Duration = Duration::from_secs(12);

/// Prints the emulator's health, as text on a terminal and as JSON otherwise. Succeeds if the
/// emulator is ready, its API (if it has one) reports that it works, and events are being averaged.
pub(crate) async fn run(arguments: &HealthArguments) -> anyhow::Result<()> {
    let path = data_directory::chosen(arguments.data_dir.as_deref())?;
    let gateway = data_directory::noted_as_ready(&path)
        .with_context(|| format!("no emulator that is ready uses {}", path.display()))?;

    let (now, mut troubles) = (Utc::now(), Vec::new());

    let note = HealthNote::read(&path).with_context(|| {
        format!(
            "{} does not describe the event source mappings",
            path.display()
        )
    })?;

    troubles.extend(note.troubles(now));

    let api = if gateway.is_empty() {
        None
    } else {
        Some(ask(&gateway).await)
    };
    let api = api
        .map(|answer| answer.unwrap_or_else(|error| trouble(&mut troubles, format!("{error:#}"))));

    let mappings = &note.event_source_mappings;
    let told = if std::io::stdout().is_terminal() {
        in_words(api.as_ref(), mappings, now)
    } else {
        let status = if troubles.is_empty() { "ok" } else { "failing" };
        format!(
            "{}\n",
            json!({"status": status, "troubles": troubles, "api": api, "event_source_mappings": mappings})
        )
    };

    // If the reader is gone, the exit status still reports the health.
    let _gone = std::io::stdout().write_all(told.as_bytes());

    anyhow::ensure!(troubles.is_empty(), "{}", troubles.join("; "));
    Ok(())
}

fn trouble(troubles: &mut Vec<String>, trouble: String) -> Value {
    troubles.push(trouble);
    Value::Null
}

/// The API's report on its own health.
async fn ask(gateway: &str) -> anyhow::Result<Value> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()?;

    let url = format!("{gateway}/health");
    let response = client
        .get(&url)
        .send()
        .await
        .with_context(|| format!("{url} does not answer"))?;

    let status = response.status();
    let text = response.text().await.unwrap_or_default();

    anyhow::ensure!(status.is_success(), "{url} answers {status}: {text}");
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn in_words(api: Option<&Value>, mappings: &[Report], now: DateTime<Utc>) -> String {
    let mut words = String::new();
    api_in_words(&mut words, api);

    for mapping in mappings {
        mapping_in_words(&mut words, mapping, now);
        last_errors_in_words(&mut words, mapping, now);
    }

    words
}

fn api_in_words(words: &mut String, api: Option<&Value>) {
    let Some(api) = api else { return };
    if let Some(status) = api["status"].as_str() {
        let _infallible = writeln!(words, "The API says: {status}.");
    }

    for (part, check) in api["checks"].as_object().into_iter().flatten() {
        if let (Some(status), Some(detail)) = (check["status"].as_str(), check["detail"].as_str()) {
            let _infallible = writeln!(words, "  {part} is {status}: {detail}.");
        }
    }
}

fn mapping_in_words(words: &mut String, mapping: &Report, now: DateTime<Utc>) {
    let Report {
        function,
        topic,
        group,
        reader,
        partitions,
        ..
    } = mapping;
    let verb = if reader.down_since.is_some() {
        "is not being read"
    } else {
        "is read"
    };
    let _infallible = writeln!(
        words,
        "{topic} {verb} for {function} (group {group}): {} partitions here, {} records behind.",
        partitions.len(),
        mapping.lag()
    );

    if let Some(oldest) = mapping.oldest_record() {
        let seconds = (now - oldest).num_seconds();
        let _infallible = writeln!(words, "  The oldest record at work is {seconds} s old.");
    }
    for partition in partitions.iter().filter(|partition| partition.lag > 0) {
        let _infallible = writeln!(
            words,
            "  Partition {}: {} behind, committed {} of {}.",
            partition.partition, partition.lag, partition.committed, partition.high_watermark
        );
    }

    if reader.restarts > 0 {
        let restarts = reader.restarts;
        let _infallible = writeln!(words, "  The reader was restarted {restarts} times.");
    }
}

fn last_errors_in_words(words: &mut String, mapping: &Report, now: DateTime<Utc>) {
    let last = [
        ("The reader last ended", &mapping.reader.last_end),
        ("Records last failed", &mapping.last_failure),
        ("Kafka last failed", &mapping.last_kafka_error),
    ];

    for (what, error) in last {
        let Some(error) = error else { continue };
        let seconds = (now - error.at).num_seconds();
        let of = error
            .partition
            .map_or(String::new(), |number| format!(", in partition {number}"));
        let _infallible = writeln!(words, "  {what} {seconds} s ago{of}: {}.", error.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_what_is_behind_and_what_failed_last() {
        let now: DateTime<Utc> = "2026-01-01T12:00:00Z".parse().unwrap();
        let report = json!({
            "id": "averager-prices", "function": "averager", "topic": "price-events", "group": "averager",
            "reader": {"down_since": null, "restarts": 2, "last_turn": null, "unanswered_since": null,
                "last_end": {"at": "2026-01-01T11:59:00Z", "partition": null, "reason": "a panic"}},
            "partitions": [
                {"partition": 0, "committed": 5, "position": 5, "high_watermark": 5, "lag": 0,
                    "standing_since": null, "error": null},
                {"partition": 3, "committed": 17, "position": 20, "high_watermark": 25, "lag": 8,
                    "standing_since": null, "error": null}],
            "in_flight": [{"since": "2026-01-01T11:59:59Z", "partitions": [3], "records": 3,
                "oldest_record": "2026-01-01T11:59:50Z"}],
            "last_failure": {"at": "2026-01-01T11:59:55Z", "partition": 3, "reason": "Unhandled"},
            "last_kafka_error": null,
        });

        let api = json!({"status": "degraded", "checks": {
            "jobs": {"status": "degraded", "detail": "1 job is overdue, and not being polled", "stalled": 1},
            "kafka": {"status": "ok"},
            "upkeep": {"status": "degraded", "detail": "has not succeeded for 31 minutes"},
        }});

        let words = in_words(Some(&api), &[serde_json::from_value(report).unwrap()], now);

        let expected = "\
The API says: degraded.
  jobs is degraded: 1 job is overdue, and not being polled.
  upkeep is degraded: has not succeeded for 31 minutes.
price-events is read for averager (group averager): 2 partitions here, 8 records behind.
  The oldest record at work is 10 s old.
  Partition 3: 8 behind, committed 17 of 25.
  The reader was restarted 2 times.
  The reader last ended 60 s ago: a panic.
  Records last failed 5 s ago, in partition 3: Unhandled.
";

        assert_eq!(words, expected);
    }
}
