//! The check at the end of every run: promises P1 to P3, record by record.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use rdkafka::message::{Message, OwnedMessage};
use serde_json::Value;
use shared::price_event::{PriceEvent, RecordCoordinates};

use super::publisher::Acknowledged;
use super::site::Site;
use super::stream::{CRASH, Fate, REFUSED};
use super::topic_content::{lag, records};
use crate::reference::{expected, newest, newest_of, stored};
use crate::waiting;

/// The longest time in which the backlog is averaged once every fault is over.
const CATCH_UP: Duration = Duration::from_secs(120);

/// What a check has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    /// Records that Kafka acknowledged.
    pub acknowledged: usize,
    /// Points in the database.
    pub points: usize,
    /// Records in quarantine, in `rejected_events`.
    pub rejected: usize,
    /// Records in the dead-letter topic.
    pub dead_letters: usize,
}

/// A record's partition and offset.
type Place = (i32, i64);

/// Waits until every group has committed the whole topic.
pub async fn caught_up(site: &Site<'_>) {
    let groups = site.groups();

    waiting::until("end of the backlog", CATCH_UP, async || {
        let lags = groups
            .iter()
            .map(|group| lag(site.ground.bootstrap_servers(), group, &site.topic));
        let behind = tokio::task::block_in_place(|| lags.sum::<anyhow::Result<i64>>());
        (behind.ok()? == 0).then_some(())
    })
    .await;
}

/// Compares the topic with what was acknowledged, and what is stored with the topic.
///
/// # Errors
/// The first broken promise, with records that show it.
pub async fn check(site: &Site<'_>, acknowledged: &[Acknowledged]) -> anyhow::Result<Checked> {
    let read = |topic: &str| {
        tokio::task::block_in_place(|| records(site.ground.bootstrap_servers(), topic))
    };

    let log: BTreeMap<Place, OwnedMessage> = read(&site.topic)?
        .into_iter()
        .map(|record| ((record.partition(), record.offset()), record))
        .collect();
    let dead = dead_letters(&read(&site.dead_letter_topic())?)?;

    let mut events = Vec::new();
    let (mut rejected, mut given_up) = (BTreeMap::new(), BTreeSet::new());

    for (place, record) in &log {
        if record.key() == Some(CRASH.as_bytes()) {
            given_up.insert(*place);
            continue;
        }

        match verdict(record) {
            Ok(event) if event.symbol.as_str() != REFUSED => events.push(event),
            _ => drop(rejected.insert(*place, record.payload().map(<[u8]>::to_vec))),
        }
    }

    for sent in acknowledged {
        let place = (sent.partition, sent.offset);
        let record = log
            .get(&place)
            .with_context(|| format!("Kafka lost {place:?}, which it acknowledged"))?;

        ensure!(
            record.payload() == sent.value.as_deref(),
            "Kafka holds another value at {place:?}"
        );

        let fate = match (given_up.contains(&place), rejected.contains_key(&place)) {
            (true, _) => Fate::DeadLetter,
            (_, true) => Fate::Rejected,
            _ => Fate::Point,
        };

        ensure!(
            fate == sent.fate,
            "{place:?} became {fate:?}, not {:?}: {:?}",
            sent.fate,
            text(record)
        );
    }

    same("dead letters", &as_map(dead), &as_map(given_up.clone()))?;
    same("quarantine", &quarantine(site).await?, &rejected)?;

    let points = expected(&events);
    same("points", &stored(&site.pool).await, &points)?;
    same(
        "newest points of the series",
        &newest(&site.pool).await,
        &newest_of(&points),
    )?;

    Ok(Checked {
        acknowledged: acknowledged.len(),
        points: points.len(),
        rejected: rejected.len(),
        dead_letters: given_up.len(),
    })
}

/// Compares the averages with the stored points, where points may have been lost with the database.
///
/// # Errors
/// When an average is not the mean of stored points, or a point comes from no record.
pub async fn check_averages(site: &Site<'_>) -> anyhow::Result<()> {
    let log =
        tokio::task::block_in_place(|| records(site.ground.bootstrap_servers(), &site.topic))?;

    let found = stored(&site.pool).await;

    let stands = |event: &PriceEvent| {
        let key = (
            event.symbol.to_string(),
            event.provider.to_string(),
            event.timestamp,
        );
        found.get(&key).is_some_and(|point| {
            point.polled_at == event.polled_at && point.price == event.price.to_string()
        })
    };

    let events: Vec<_> = log
        .iter()
        .filter_map(|record| verdict(record).ok())
        .filter(stands)
        .collect();

    let points = expected(&events);
    same("points", &found, &points)?;
    same(
        "newest points of the series",
        &newest(&site.pool).await,
        &newest_of(&points),
    )
}

fn verdict(record: &OwnedMessage) -> anyhow::Result<PriceEvent> {
    let timestamp = record
        .timestamp()
        .to_millis()
        .and_then(DateTime::from_timestamp_millis);

    let coordinates = RecordCoordinates {
        topic: record.topic(),
        partition: record.partition(),
        offset: record.offset(),
        timestamp,
    };

    Ok(PriceEvent::decode(
        record.payload(),
        &coordinates,
        Utc::now(),
    )?)
}

fn text(record: &OwnedMessage) -> String {
    String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned()
}

/// The places of the records in the letters; a record may be in two letters.
fn dead_letters(letters: &[OwnedMessage]) -> anyhow::Result<BTreeSet<Place>> {
    let mut places = BTreeSet::new();
    for letter in letters {
        let letter: Value = serde_json::from_slice(letter.payload().unwrap_or_default())?;

        let partitions = letter["payload"]["records"]
            .as_object()
            .context("a letter without records")?;
        for record in partitions
            .values()
            .flat_map(|records| records.as_array().into_iter().flatten())
        {
            let partition = record["partition"]
                .as_i64()
                .and_then(|number| i32::try_from(number).ok());
            let offset = record["offset"].as_i64();

            places.insert(
                partition
                    .zip(offset)
                    .context("a record without its place")?,
            );

            let value = record["value"]
                .as_str()
                .context("a record without its value")?;
            STANDARD
                .decode(value)
                .context("a value that is not base64")?;
        }
    }

    Ok(places)
}

/// The quarantined records. The query omits a record whose reason does not fit it: a refused
/// event's reason contains Postgres's code, and no other reason does.
async fn quarantine(site: &Site<'_>) -> anyhow::Result<BTreeMap<Place, Option<Vec<u8>>>> {
    let rows: Vec<(i32, i64, Option<Vec<u8>>)> = sqlx::query_as(
        "select partition, record_offset, value from rejected_events
         where topic = $1 and reason <> ''
           and (reason like '%(SQLSTATE P0001)') = coalesce(position($2 in value) > 0, false)",
    )
    .bind(&site.topic)
    .bind(format!("\"symbol\":\"{REFUSED}\"").into_bytes())
    .fetch_all(&site.pool)
    .await?;

    let count = rows.len();
    let kept: BTreeMap<_, _> = rows
        .into_iter()
        .map(|(partition, offset, value)| ((partition, offset), value))
        .collect();

    ensure!(kept.len() == count, "a record is twice in quarantine");
    Ok(kept)
}

fn as_map(places: BTreeSet<Place>) -> BTreeMap<Place, ()> {
    places.into_iter().map(|place| (place, ())).collect()
}

/// Fails with the number of differences and the first three.
fn same<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    found: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
) -> anyhow::Result<()> {
    let missing = expected
        .iter()
        .filter(|(key, _)| !found.contains_key(key))
        .map(|entry| ("missing", entry));

    let unexpected = found
        .iter()
        .filter(|(key, _)| !expected.contains_key(key))
        .map(|entry| ("unexpected", entry));

    let wrong = found
        .iter()
        .filter(|(key, value)| expected.get(key).is_some_and(|right| right != *value));
    let wrong = wrong.map(|entry| ("wrong", entry));

    let differences: Vec<_> = missing.chain(unexpected).chain(wrong).collect();

    ensure!(
        differences.is_empty(),
        "{what}: {} of {} are not as they must be, the first: {:#?}",
        differences.len(),
        expected.len(),
        &differences[..differences.len().min(3)]
    );

    Ok(())
}
