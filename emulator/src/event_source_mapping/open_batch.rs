//! A batch that gathers records. Each is written at once in the form that it has in the event.

use std::fmt::Write as _;

use super::batch::{Batch, EventHead, LARGEST_PAYLOAD, PartitionRecords, Record};
use super::received::Received;

/// Records that wait for their invocation.
#[derive(Debug, Default)]
pub(super) struct OpenBatch {
    partitions: Vec<OpenPartition>,
    len: usize,
    bytes: usize,
}

/// A record that waits for room in a batch, in the form that it has in the event.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) partition: i32,
    pub(super) epoch: u64,
    at: Coordinates,
    json: String,
}

/// What is known of a record beside its text.
#[derive(Clone, Copy, Debug)]
struct Coordinates {
    offset: i64,
    timestamp: i64,
    read_at: i64,
}

impl Coordinates {
    fn of(record: &Received<'_>) -> Self {
        Self {
            offset: record.offset,
            timestamp: record.millis(),
            read_at: record.read_at,
        }
    }
}

impl Written {
    pub(super) fn new(record: &Received<'_>, epoch: u64) -> Self {
        let mut json = String::new();
        record.write(&mut json);
        Self {
            partition: record.partition,
            epoch,
            at: Coordinates::of(record),
            json,
        }
    }
}

/// The records of one partition, in order.
#[derive(Debug)]
struct OpenPartition {
    partition: i32,
    epoch: u64,
    /// The records' JSON, with commas between them.
    json: String,
    /// The place of each record in `json`.
    records: Vec<Record>,
}

impl OpenBatch {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a record. Returns false if the payload would become too large. An empty batch
    /// accepts any record.
    pub(super) fn append(&mut self, record: &Received<'_>, epoch: u64) -> bool {
        let at = Coordinates::of(record);
        self.append_with(record.partition, epoch, at, |json| record.write(json))
    }

    /// Appends a record that waited for room, under the same condition.
    pub(super) fn append_written(&mut self, record: &Written) -> bool {
        self.append_with(record.partition, record.epoch, record.at, |json| {
            json.push_str(&record.json);
        })
    }

    fn append_with(
        &mut self,
        partition: i32,
        epoch: u64,
        at: Coordinates,
        write: impl FnOnce(&mut String),
    ) -> bool {
        let known = self
            .partitions
            .iter()
            .position(|records| records.partition == partition);
        let place = known.unwrap_or_else(|| {
            self.partitions.push(OpenPartition {
                partition,
                epoch,
                json: String::new(),
                records: Vec::new(),
            });
            self.partitions.len() - 1
        });

        let records = &mut self.partitions[place];
        let before = records.json.len();
        records.append(at, write);

        // 256 bytes for the key of each partition, and four times as many for the head, are more
        // than they take.
        let grown = self.bytes + records.json.len() - before;
        if self.len > 0 && grown + 256 * (self.partitions.len() + 4) > LARGEST_PAYLOAD {
            self.partitions[place].remove_last(before);
            if known.is_none() {
                self.partitions.pop();
            }
            return false;
        }

        self.bytes = grown;
        self.len += 1;
        true
    }

    /// Keeps the partitions that are still held under the epoch in which their records were read.
    pub(super) fn retain(&mut self, held: impl Fn(i32, u64) -> bool) {
        self.partitions
            .retain(|records| held(records.partition, records.epoch));

        self.len = self
            .partitions
            .iter()
            .map(|records| records.records.len())
            .sum();
        self.bytes = self
            .partitions
            .iter()
            .map(|records| records.json.len())
            .sum();
    }

    /// Joins the records into the event of the whole batch.
    pub(super) fn close(self, head: &EventHead, topic: &str) -> Batch {
        let mut event = String::with_capacity(
            head.as_str().len() + self.bytes + 256 * (self.partitions.len() + 1),
        );
        event.push_str(head.as_str());
        let mut partitions = Vec::with_capacity(self.partitions.len());

        for (
            place,
            OpenPartition {
                partition,
                epoch,
                json,
                mut records,
            },
        ) in self.partitions.into_iter().enumerate()
        {
            let comma = if place == 0 { "" } else { "," };
            let _infallible = write!(event, "{comma}\"{topic}-{partition}\":[");

            // Before the text is appended: the event's length is where it begins.
            for record in &mut records {
                record.text = record.text.start + event.len()..record.text.end + event.len();
            }

            event.push_str(&json);
            event.push(']');
            partitions.push(PartitionRecords {
                partition,
                epoch,
                records,
            });
        }

        event.push_str("}}");
        Batch::new(partitions, event)
    }
}

impl OpenPartition {
    fn append(&mut self, at: Coordinates, write: impl FnOnce(&mut String)) {
        if !self.records.is_empty() {
            self.json.push(',');
        }
        let start = self.json.len();
        write(&mut self.json);
        self.records.push(Record {
            offset: at.offset,
            timestamp: at.timestamp,
            read_at: at.read_at,
            text: start..self.json.len(),
        });
    }

    fn remove_last(&mut self, length: usize) {
        self.records.pop();
        self.json.truncate(length);
    }
}

#[cfg(test)]
mod tests;
