//! Quarantine: records of the topic that can never become price points.

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};

use super::Error;
use super::batched_deletion::delete_in_batches;
use crate::market::Timestamp;

pub mod quarantine;

/// A refused record, as it was on the topic.
#[derive(Clone, Debug)]
pub struct RejectedEvent {
    /// Topic of the record.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Kafka's timestamp of the record.
    pub timestamp: Timestamp,
    /// The record's key, unchanged.
    pub key: Option<Vec<u8>>,
    /// The record's value, unchanged; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Why it was refused.
    pub reason: String,
}

/// Longest reason that is stored, in characters.
const LONGEST_REASON: usize = 500;
/// Rows deleted by one statement, so that it does not hold its locks for long.
const BATCH: i64 = 1_000;

/// Stores the events, each once even if delivered repeatedly; returns the number of new ones.
///
/// A record's identity includes its timestamp and the hash of its value, because offsets start
/// again when a topic or a broker is recreated.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn insert(connection: &mut PgConnection, events: &[RejectedEvent]) -> Result<u64, Error> {
    if events.is_empty() {
        return Ok(0);
    }

    let mut rows: Vec<(&RejectedEvent, Vec<u8>)> = events
        .iter()
        .map(|event| {
            (
                event,
                Sha256::digest(event.value.as_deref().unwrap_or(&[])).to_vec(),
            )
        })
        .collect();

    // Rows are written in the order of their identity, so that two writers cannot deadlock.
    rows.sort_by(|(a, hash_a), (b, hash_b)| {
        (&a.topic, a.partition, a.offset, a.timestamp, hash_a).cmp(&(
            &b.topic,
            b.partition,
            b.offset,
            b.timestamp,
            hash_b,
        ))
    });

    let inserted = sqlx::query(
        "insert into rejected_events
             (topic, partition, record_offset, record_timestamp, value_sha256, key, value, reason)
         select * from unnest($1::text[], $2::int4[], $3::int8[], $4::timestamptz[], $5::bytea[], $6::bytea[],
                              $7::bytea[], $8::text[])
         on conflict do nothing",
    )
    .bind(rows.iter().map(|(event, _)| event.topic.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(event, _)| event.partition).collect::<Vec<_>>())
    .bind(rows.iter().map(|(event, _)| event.offset).collect::<Vec<_>>())
    .bind(rows.iter().map(|(event, _)| event.timestamp).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, hash)| hash.as_slice()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(event, _)| event.key.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(event, _)| event.value.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(event, _)| readable(&event.reason)).collect::<Vec<_>>())
    .execute(connection)
    .await?;

    Ok(inserted.rows_affected())
}

/// Deletes the events that were rejected before `cutoff`, and returns their number.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. Rows that were deleted before stay deleted.
pub async fn delete_before(pool: &PgPool, cutoff: Timestamp) -> Result<u64, Error> {
    delete_in_batches(pool, BATCH, || {
        sqlx::query(
            "delete from rejected_events where ctid = any(array(
                 select ctid from rejected_events where rejected_at < $1 order by rejected_at limit $2
                 for update skip locked))",
        )
        .bind(cutoff)
        .bind(BATCH)
    })
    .await
}

/// A reason as text that Postgres stores, of bounded length: it may quote a record, which may hold
/// any characters.
pub(super) fn readable(reason: &str) -> String {
    let plain = |char: char| {
        if char.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            char
        }
    };
    reason.chars().take(LONGEST_REASON).map(plain).collect()
}
