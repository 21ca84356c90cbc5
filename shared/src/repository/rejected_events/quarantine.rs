//! What is in quarantine, and how often it was sent to the topic again.

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgExecutor, Row};

use super::BATCH;
use crate::market::Timestamp;
use crate::repository::Error;
use crate::repository::batched_deletion::delete_in_batches;

/// How often a record is sent again at most: one that is refused each time would go round for ever.
pub const MOST_TIMES: i16 = 3;
/// Bytes of a key and of a value that a list shows.
const SHOWN_KEY: i32 = 200;
const SHOWN_VALUE: i32 = 1_000;

/// Identifies a rejected event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedId {
    /// Topic of the record.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Kafka's timestamp of the record.
    pub timestamp: Timestamp,
    /// The SHA-256 of its value.
    pub value_sha256: [u8; 32],
}

/// An event in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where the record was.
    pub id: RejectedId,
    /// The record's key; in a list, its beginning.
    pub key: Option<Vec<u8>>,
    /// The record's value; in a list, its beginning.
    pub value: Option<Vec<u8>>,
    /// The number of bytes of the whole value.
    pub value_bytes: Option<i32>,
    /// Why it was refused.
    pub reason: String,
    /// When it was first refused.
    pub rejected_at: Timestamp,
    /// How often a record of this content was sent again.
    pub redriven: i16,
    /// When it was last sent again.
    pub redriven_at: Option<Timestamp>,
}

/// Position in the list: the last event returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// When it was refused.
    pub rejected_at: Timestamp,
    /// Which one it is.
    pub id: RejectedId,
}

/// Up to `limit` events, those refused last first. With `reason`, only those whose reason begins
/// with it.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn list(
    executor: impl PgExecutor<'_>,
    reason: Option<&str>,
    after: Option<&After>,
    limit: i64,
) -> Result<Vec<Quarantined>, Error> {
    let rows = sqlx::query(
        "select r.topic, r.partition, r.record_offset, r.record_timestamp, r.value_sha256,
                octet_length(r.value) as value_bytes, r.reason, r.rejected_at,
                coalesce(d.times, 0::int2) as times, d.last_at,
                substring(r.key from 1 for $8) as key, substring(r.value from 1 for $9) as value
         from rejected_events r
         left join redriven_events d on d.value_sha256 = r.value_sha256 and d.key = coalesce(r.key, '')
         where ($1::text is null or starts_with(r.reason, $1))
           and ($2::timestamptz is null or (r.rejected_at <= $2
                and (r.rejected_at, r.topic, r.partition, r.record_offset, r.record_timestamp, r.value_sha256)
                    < ($2, $3, $4, $5, $6, $7)))
         order by r.rejected_at desc, r.topic desc, r.partition desc, r.record_offset desc,
                  r.record_timestamp desc, r.value_sha256 desc
         limit $10",
    )
    .bind(reason)
    .bind(after.map(|after| after.rejected_at))
    .bind(after.map(|after| after.id.topic.as_str()))
    .bind(after.map(|after| after.id.partition))
    .bind(after.map(|after| after.id.offset))
    .bind(after.map(|after| after.id.timestamp))
    .bind(after.map(|after| after.id.value_sha256.to_vec()))
    .bind(SHOWN_KEY)
    .bind(SHOWN_VALUE)
    .bind(limit)
    .fetch_all(executor)
    .await?;
    rows.iter().map(read).collect()
}

/// The whole event.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn get(
    executor: impl PgExecutor<'_>,
    id: &RejectedId,
) -> Result<Option<Quarantined>, Error> {
    let row = sqlx::query(
        "select r.topic, r.partition, r.record_offset, r.record_timestamp, r.value_sha256,
                octet_length(r.value) as value_bytes, r.reason, r.rejected_at,
                coalesce(d.times, 0::int2) as times, d.last_at, r.key, r.value
         from rejected_events r
         left join redriven_events d on d.value_sha256 = r.value_sha256 and d.key = coalesce(r.key, '')
         where r.topic = $1 and r.partition = $2 and r.record_offset = $3 and r.record_timestamp = $4
           and r.value_sha256 = $5",
    )
    .bind(&id.topic)
    .bind(id.partition)
    .bind(id.offset)
    .bind(id.timestamp)
    .bind(id.value_sha256.as_slice())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Up to `limit` events of a topic that can be sent again: they have a value, and were not sent
/// since they were refused, nor [`MOST_TIMES`] before. With `reason`, only those whose reason begins
/// with it. Those refused first come first.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn to_redrive(
    executor: impl PgExecutor<'_>,
    topic: &str,
    reason: Option<&str>,
    limit: i64,
) -> Result<Vec<Quarantined>, Error> {
    let rows = sqlx::query(
        "select r.topic, r.partition, r.record_offset, r.record_timestamp, r.value_sha256,
                octet_length(r.value) as value_bytes, r.reason, r.rejected_at,
                coalesce(d.times, 0::int2) as times, d.last_at, r.key, r.value
         from rejected_events r
         left join redriven_events d on d.value_sha256 = r.value_sha256 and d.key = coalesce(r.key, '')
         where r.topic = $1 and r.value is not null and ($2::text is null or starts_with(r.reason, $2))
           and (d.times is null or (d.times < $3 and d.last_at < r.rejected_at))
         order by r.rejected_at, r.partition, r.record_offset, r.record_timestamp, r.value_sha256
         limit $4",
    )
    .bind(topic)
    .bind(reason)
    .bind(MOST_TIMES)
    .bind(limit)
    .fetch_all(executor)
    .await?;
    rows.iter().map(read).collect()
}

/// Notes that an event was sent again with this value: for its own content and for the content that
/// was sent, which is the one that comes back if it is refused again. Returns how often that was.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn note_redriven(
    executor: impl PgExecutor<'_>,
    event: &Quarantined,
    sent: &[u8],
) -> Result<i16, Error> {
    let mut contents = vec![
        event.id.value_sha256.to_vec(),
        Sha256::digest(sent).to_vec(),
    ];
    contents.dedup();

    let times = sqlx::query_scalar(
        "insert into redriven_events as d (value_sha256, key, times, last_at)
         select content, coalesce($2, ''::bytea), $3, now() from unnest($1::bytea[]) as c(content)
         on conflict (value_sha256, key) do update
             set times = greatest(d.times + 1, excluded.times), last_at = excluded.last_at
         returning times",
    )
    .bind(contents)
    .bind(event.key.as_deref())
    .bind(event.redriven + 1)
    .fetch_all(executor)
    .await?;
    Ok(times.into_iter().max().unwrap_or(0))
}

/// Deletes the notes of records that were last sent before `cutoff`.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. Rows that were deleted before stay deleted.
pub async fn forget_redriven(pool: &PgPool, cutoff: Timestamp) -> Result<u64, Error> {
    delete_in_batches(pool, BATCH, || {
        sqlx::query(
            "delete from redriven_events where ctid = any(array(
                 select ctid from redriven_events where last_at < $1 limit $2 for update skip locked))",
        )
        .bind(cutoff)
        .bind(BATCH)
    })
    .await
}

fn read(row: &PgRow) -> Result<Quarantined, Error> {
    let hash: Vec<u8> = row.try_get("value_sha256")?;
    let unreadable = |_| Error::Rejected(sqlx::Error::decode("a hash of another length"));

    Ok(Quarantined {
        id: RejectedId {
            topic: row.try_get("topic")?,
            partition: row.try_get("partition")?,
            offset: row.try_get("record_offset")?,
            timestamp: row.try_get("record_timestamp")?,
            value_sha256: hash.try_into().map_err(unreadable)?,
        },
        key: row.try_get("key")?,
        value: row.try_get("value")?,
        value_bytes: row.try_get("value_bytes")?,
        reason: row.try_get("reason")?,
        rejected_at: row.try_get("rejected_at")?,
        redriven: row.try_get("times")?,
        redriven_at: row.try_get("last_at")?,
    })
}
