//! The payload of one invocation: the event of its records, and where in it each record is.

use std::ops::Range;

use axum::body::Bytes;

/// Largest payload of an invocation, in bytes.
pub(super) const LARGEST_PAYLOAD: usize = 6 * 1024 * 1024;

/// A record's coordinates, and the place of its JSON in the text that contains it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) offset: i64,
    /// Milliseconds since 1970.
    pub(super) timestamp: i64,
    /// When it was read, for [`timing`](super::timing).
    pub(super) read_at: i64,
    pub(super) text: Range<usize>,
}

/// The records of one partition, in order.
#[derive(Debug)]
pub(super) struct PartitionRecords {
    pub(super) partition: i32,
    /// The epoch of the assignment under which they were read. After it, they are another member's.
    pub(super) epoch: u64,
    pub(super) records: Vec<Record>,
}

/// A complete batch. Its records are numbered consecutively, partition by partition.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) partitions: Vec<PartitionRecords>,
    /// The event of all records. Clones share its bytes.
    event: Bytes,
    len: usize,
}

/// The part of an event before its records.
#[derive(Debug)]
pub(super) struct EventHead(String);

impl EventHead {
    pub(super) fn new(event_source_arn: &str, bootstrap_servers: &str) -> Self {
        let mut head = serde_json::json!({
            "eventSource": "aws:kafka",
            "eventSourceArn": event_source_arn,
            "bootstrapServers": bootstrap_servers,
        })
        .to_string();
        // The closing brace follows the records.
        head.pop();
        head.push_str(",\"records\":{");
        Self(head)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Batch {
    /// Creates a batch whose records are in `event` where `partitions` says.
    pub(super) fn new(partitions: Vec<PartitionRecords>, event: String) -> Self {
        let len = partitions.iter().map(|records| records.records.len()).sum();
        Self {
            partitions,
            event: Bytes::from(event),
            len,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Each partition with the numbers of its records.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (&PartitionRecords, Range<usize>)> {
        let mut next = 0;
        self.partitions.iter().map(move |records| {
            let range = next..next + records.records.len();
            next = range.end;
            (records, range)
        })
    }

    /// Returns the partition and the record of a number.
    pub(super) fn record(&self, number: usize) -> Option<(&PartitionRecords, &Record)> {
        let (records, range) = self.ranges().find(|(_, range)| range.contains(&number))?;
        Some((records, &records.records[number - range.start]))
    }

    /// Returns a record's JSON.
    pub(super) fn record_json(&self, number: usize) -> Option<&[u8]> {
        self.record(number)
            .map(|(_, record)| &self.event[record.text.clone()])
    }

    /// Returns the event that delivers `numbers`, which are ascending, to the function.
    pub(super) fn event(&self, head: &EventHead, topic: &str, numbers: &[usize]) -> Bytes {
        if numbers.len() == self.len {
            return self.event.clone();
        }

        let mut event = head.as_str().as_bytes().to_vec();
        let mut left = numbers;

        for (records, range) in self.ranges() {
            let (here, later) = left.split_at(left.partition_point(|number| *number < range.end));
            left = later;
            if here.is_empty() {
                continue;
            }

            let comma = if event.ends_with(b"{") { "" } else { "," };
            event.extend_from_slice(
                format!("{comma}\"{topic}-{}\":[", records.partition).as_bytes(),
            );

            // Consecutive records are copied at once, with the commas between them.
            for (place, run) in here.chunk_by(|one, next| one + 1 == *next).enumerate() {
                let (first, last) = (run[0] - range.start, run[run.len() - 1] - range.start);
                event.extend_from_slice(if place == 0 { b"" } else { b"," });
                let text = records.records[first].text.start..records.records[last].text.end;
                event.extend_from_slice(&self.event[text]);
            }
            event.push(b']');
        }

        event.extend_from_slice(b"}}");
        event.into()
    }
}

impl PartitionRecords {
    /// The offset to commit once the first `count` records are resolved.
    pub(super) fn offset_after(&self, count: usize) -> Option<i64> {
        count
            .checked_sub(1)
            .and_then(|last| self.records.get(last))
            .map(|record| record.offset + 1)
    }
}
