//! Records as no client library would write them, with any bytes in any field, encoded and sent by
//! hand.
//!
//! Format: <https://kafka.apache.org/documentation/#recordbatch>, in version 3 of Produce, the
//! oldest that brokers accept.

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A header: its name and its value.
pub type RawHeader = (Vec<u8>, Option<Vec<u8>>);

/// A record. Each field may hold any bytes.
#[derive(Clone, Debug, Default)]
pub struct RawRecord {
    /// The key, if the record has one.
    pub key: Option<Vec<u8>>,
    /// The value; a record without one is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order; their names need not be UTF-8.
    pub headers: Vec<RawHeader>,
}

/// Records that are sent together.
#[derive(Clone, Debug)]
pub struct RawBatch {
    /// Milliseconds since 1970; -1 means that there is no time.
    pub timestamp: i64,
    /// The codec that the batch's attributes name. The records are written uncompressed all the
    /// same.
    pub codec: u8,
    /// The records, in the order of their offsets.
    pub records: Vec<RawRecord>,
}

/// Appends the batch to a partition whose leader is the broker at `address`, and returns the first
/// offset.
///
/// # Errors
/// When the broker is unavailable or refuses the batch.
pub async fn send(
    address: &str,
    topic: &str,
    partition: i32,
    batch: &RawBatch,
) -> anyhow::Result<i64> {
    let mut body = Vec::new();
    // Produce, version 3, correlation id, no client id, no transaction, acknowledged by all
    // replicas within 10 s.
    push(
        &mut body,
        &[
            &0_i16.to_be_bytes(),
            &3_i16.to_be_bytes(),
            &7_i32.to_be_bytes(),
        ],
    );
    push(
        &mut body,
        &[
            &(-1_i16).to_be_bytes(),
            &(-1_i16).to_be_bytes(),
            &(-1_i16).to_be_bytes(),
        ],
    );
    push(
        &mut body,
        &[&10_000_i32.to_be_bytes(), &1_i32.to_be_bytes()],
    );

    push(
        &mut body,
        &[&i16::try_from(topic.len())?.to_be_bytes(), topic.as_bytes()],
    );

    let records = encoded(batch)?;
    push(&mut body, &[&1_i32.to_be_bytes(), &partition.to_be_bytes()]);
    push(&mut body, &[&length(&records)?.to_be_bytes(), &records]);

    let mut broker = TcpStream::connect(address).await?;
    broker.write_all(&length(&body)?.to_be_bytes()).await?;
    broker.write_all(&body).await?;
    let mut answer = vec![0; usize::try_from(broker.read_i32().await?)?];
    broker.read_exact(&mut answer).await?;

    // After the correlation id, the topic's name and the numbers of topics and partitions.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    let error = answer
        .get(at..at + 2)
        .context("an answer that is cut off")?;
    let offset = answer
        .get(at + 2..at + 10)
        .context("an answer that is cut off")?;

    ensure!(error == [0, 0], "the broker refuses the records: {error:?}");
    Ok(i64::from_be_bytes(offset.try_into()?))
}

fn encoded(batch: &RawBatch) -> anyhow::Result<Vec<u8>> {
    let mut summed = Vec::new();
    let count = i32::try_from(batch.records.len())?;
    push(
        &mut summed,
        &[
            &i16::from(batch.codec).to_be_bytes(),
            &(count - 1).to_be_bytes(),
        ],
    );
    push(
        &mut summed,
        &[
            &batch.timestamp.to_be_bytes(),
            &batch.timestamp.to_be_bytes(),
        ],
    );

    // Not idempotent: no producer id, epoch or sequence.
    push(
        &mut summed,
        &[
            &(-1_i64).to_be_bytes(),
            &(-1_i16).to_be_bytes(),
            &(-1_i32).to_be_bytes(),
        ],
    );

    summed.extend_from_slice(&count.to_be_bytes());

    for (place, record) in batch.records.iter().enumerate() {
        let mut body = vec![0];
        push_number(&mut body, 0);
        push_number(&mut body, i64::try_from(place)?);
        push_bytes(&mut body, record.key.as_deref())?;
        push_bytes(&mut body, record.value.as_deref())?;
        push_number(&mut body, i64::try_from(record.headers.len())?);
        for (name, value) in &record.headers {
            push_bytes(&mut body, Some(name))?;
            push_bytes(&mut body, value.as_deref())?;
        }

        push_bytes(&mut summed, Some(&body))?;
    }

    let mut encoded = Vec::new();

    // The first offset, the length of what follows, the leader's epoch, which is not known yet, and
    // the format.
    push(
        &mut encoded,
        &[&0_i64.to_be_bytes(), &(length(&summed)? + 9).to_be_bytes()],
    );
    push(
        &mut encoded,
        &[
            &(-1_i32).to_be_bytes(),
            &[2],
            &crc32c(&summed).to_be_bytes(),
            &summed,
        ],
    );

    Ok(encoded)
}

fn push(to: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| to.extend_from_slice(part));
}

fn length(bytes: &[u8]) -> anyhow::Result<i32> {
    Ok(i32::try_from(bytes.len())?)
}

/// Bytes after their length; -1 stands for no bytes.
fn push_bytes(to: &mut Vec<u8>, bytes: Option<&[u8]>) -> anyhow::Result<()> {
    push_number(
        to,
        bytes.map_or(Ok(-1), |bytes| i64::try_from(bytes.len()))?,
    );
    to.extend_from_slice(bytes.unwrap_or_default());
    Ok(())
}

/// A zigzag varint: numbers near zero, of either sign, take few bytes.
fn push_number(to: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left > 0x7f {
        to.push(u8::try_from(left & 0x7f).unwrap_or_default() | 0x80);
        left >>= 7;
    }
    to.push(u8::try_from(left).unwrap_or_default());
}

/// CRC-32C, with Castagnoli's polynomial.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| {
        if sum & 1 == 1 {
            (sum >> 1) ^ 0x82f6_3b78
        } else {
            sum >> 1
        }
    };

    !bytes
        .iter()
        .fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}
