//! Faults between Kafka and the emulator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::Site;
use crate::faults::stream::REFUSED;
use crate::raw_records::{RawBatch, RawHeader, RawRecord, send};

/// The longest time that joining a group may take.
const JOINING: Duration = Duration::from_secs(60);
pub(super) const PARTITIONS: i32 = 6;

pub(super) async fn restart(site: &Site<'_>, signal: Signal) -> anyhow::Result<()> {
    let mut kafka = Arc::clone(&site.ground.kafka).lock_owned().await;
    tokio::task::spawn_blocking(move || kafka.restart(signal)).await?
}

/// Joins the group under the emulator's own name and leaves. Kafka takes the new member for the
/// emulator after a restart, and fences the old one.
pub(super) async fn shut_out(site: &Site<'_>, number: usize) -> anyhow::Result<()> {
    let (group, member) = site.membership(number).context("no such stack")?;
    let (servers, topic) = (
        site.ground.bootstrap_servers().to_owned(),
        site.topic.clone(),
    );

    let joining = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", group)
            .set("group.instance.id", member)
            .set("session.timeout.ms", "6000")
            .set("enable.auto.commit", "false")
            .set("log_level", "0")
            .create()?;

        consumer.subscribe(&[&topic])?;

        let deadline = Instant::now() + JOINING;
        while consumer.assignment()?.count() == 0 {
            ensure!(Instant::now() < deadline, "no partitions were assigned");
            // Nothing is committed, so the emulator reads these records again.
            drop(consumer.poll(Duration::from_millis(100)));
        }

        Ok(())
    };

    tokio::task::spawn_blocking(joining).await?
}

/// Good events and tombstones, each in a record with odd headers or an odd key.
pub(super) async fn send_odd_records(site: &Site<'_>, random: &mut StdRng) -> anyhow::Result<()> {
    // Another run must not restart Kafka while the batch is sent.
    let _kafka = site.ground.kafka.lock().await;

    let odd: [Vec<RawHeader>; 4] = [
        vec![(b"pa\xeds".to_vec(), Some(b"x".to_vec()))],
        vec![
            (vec![0xff; 300], None),
            (Vec::new(), Some(Vec::new())),
            (Vec::new(), None),
        ],
        vec![(b"large".to_vec(), Some(vec![0x80; 100_000]))],
        Vec::new(),
    ];

    let now = Utc::now();
    let event = format!(
        r#"{{"symbol":"ODD","price":{}.5,"timestamp":"{}","source":"made"}}"#,
        random.random_range(1..1_000),
        now.to_rfc3339_opts(SecondsFormat::Micros, true)
    );

    let keys = [
        None,
        Some(Vec::new()),
        Some(b"\xff\xfe".to_vec()),
        Some(b"ODD".to_vec()),
    ];

    let records = odd.into_iter().zip(keys).map(|(headers, key)| {
        let value = random.random_bool(0.8).then(|| event.clone().into_bytes());
        RawRecord {
            key,
            value,
            headers,
        }
    });

    let records = records.collect();
    send_to_any(site, random, now, records).await
}

/// Events that Postgres always refuses, alone or several in a row, with good ones around them.
pub(super) async fn send_refused_events(
    site: &Site<'_>,
    random: &mut StdRng,
) -> anyhow::Result<()> {
    // Another run must not restart Kafka while the batch is sent.
    let _kafka = site.ground.kafka.lock().await;

    let now = Utc::now();
    let mut refused = false;

    let records = (0..300).map(|number| {
        refused = random.random_bool(if refused { 0.5 } else { 0.02 });
        let symbol = if refused { REFUSED } else { "AMIDST" };

        let quoted_at = now - TimeDelta::hours(1) + TimeDelta::seconds(number);
        let event = format!(
            r#"{{"symbol":"{symbol}","price":{}.5,"timestamp":"{}","source":"made"}}"#,
            random.random_range(1..1_000),
            quoted_at.to_rfc3339_opts(SecondsFormat::Micros, true)
        );

        RawRecord {
            value: Some(event.into_bytes()),
            ..RawRecord::default()
        }
    });

    let records = records.collect();
    send_to_any(site, random, now, records).await
}

/// Sends the records as one batch to a random partition.
async fn send_to_any(
    site: &Site<'_>,
    random: &mut StdRng,
    now: DateTime<Utc>,
    records: Vec<RawRecord>,
) -> anyhow::Result<()> {
    let batch = RawBatch {
        timestamp: now.timestamp_millis(),
        codec: 0,
        records,
    };

    let partition = random.random_range(0..PARTITIONS);
    send(
        site.ground.bootstrap_servers(),
        &site.topic,
        partition,
        &batch,
    )
    .await
    .map(drop)
}
