//! Records of one batch, each already written as it stands in the event.

use std::fmt::Write as _;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rdkafka::Timestamp;
use rdkafka::message::{Headers, Message};

/// Largest payload of an invocation, in bytes.
pub(super) const LARGEST_PAYLOAD: usize = 6 * 1024 * 1024;

/// A record's coordinates, and its place in the text of its partition.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) offset: i64,
    /// Milliseconds since 1970.
    pub(super) timestamp: i64,
    text: Range<usize>,
}

/// The records of one partition, in order.
#[derive(Debug)]
pub(super) struct PartitionRecords {
    pub(super) partition: i32,
    /// Of the assignment under which they were read: once it is over they are not ours.
    pub(super) epoch: u64,
    /// The records' JSON, with commas between them.
    json: String,
    pub(super) records: Vec<Record>,
}

/// What one invocation gets. Its records are numbered through, partition by partition.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) partitions: Vec<PartitionRecords>,
    len: usize,
    bytes: usize,
}

/// The part of an event that stands before its records.
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
        head.pop();
        head.push_str(",\"records\":{");
        Self(head)
    }
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes in a record, unless the payload would grow too large. An empty batch takes any record.
    pub(super) fn append(&mut self, message: &impl Message, epoch: u64) -> bool {
        let partition = message.partition();
        let known = self.partitions.iter().position(|records| records.partition == partition);
        let place = known.unwrap_or_else(|| {
            self.partitions.push(PartitionRecords {
                partition,
                epoch,
                json: String::new(),
                records: Vec::new(),
            });
            self.partitions.len() - 1
        });
        let records = &mut self.partitions[place];
        let before = records.json.len();
        records.append(message);
        // A quarter kilobyte for the head and the key of each partition is more than they take.
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

    /// Forgets the partitions that are not ours any more.
    pub(super) fn retain(&mut self, ours: impl Fn(&PartitionRecords) -> bool) {
        self.partitions.retain(ours);
        self.len = self.partitions.iter().map(|records| records.records.len()).sum();
        self.bytes = self.partitions.iter().map(|records| records.json.len()).sum();
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

    /// The partition and the record that a number stands for.
    pub(super) fn record(&self, number: usize) -> Option<(&PartitionRecords, &Record)> {
        let (records, range) = self.ranges().find(|(_, range)| range.contains(&number))?;
        Some((records, &records.records[number - range.start]))
    }

    /// A record as it stands in the event.
    pub(super) fn record_json(&self, number: usize) -> Option<&str> {
        self.record(number).map(|(records, record)| &records.json[record.text.clone()])
    }

    /// The event that hands `numbers`, which are ascending, to the function.
    pub(super) fn event(&self, head: &EventHead, topic: &str, numbers: &[usize]) -> String {
        let mut event = String::with_capacity(head.0.len() + self.bytes + 256 * (self.partitions.len() + 1));
        event.push_str(&head.0);
        let mut left = numbers;
        for (records, range) in self.ranges() {
            let (here, later) = left.split_at(left.partition_point(|number| *number < range.end));
            left = later;
            if here.is_empty() {
                continue;
            }
            let comma = if event.ends_with('{') { "" } else { "," };
            let _infallible = write!(event, "{comma}\"{topic}-{}\":[", records.partition);
            for (place, run) in here.chunk_by(|one, next| one + 1 == *next).enumerate() {
                let (first, last) = (run[0] - range.start, run[run.len() - 1] - range.start);
                event.push_str(if place == 0 { "" } else { "," });
                event.push_str(
                    &records.json[records.records[first].text.start..records.records[last].text.end],
                );
            }
            event.push(']');
        }
        event.push_str("}}");
        event
    }
}

impl PartitionRecords {
    /// The offset to commit once the first `count` records are resolved.
    pub(super) fn offset_after(&self, count: usize) -> Option<i64> {
        count.checked_sub(1).and_then(|last| self.records.get(last)).map(|record| record.offset + 1)
    }

    fn append(&mut self, message: &impl Message) {
        if !self.records.is_empty() {
            self.json.push(',');
        }
        let start = self.json.len();
        let (timestamp, timestamp_type) = match message.timestamp() {
            Timestamp::CreateTime(time) => (time, "CREATE_TIME"),
            Timestamp::LogAppendTime(time) => (time, "LOG_APPEND_TIME"),
            Timestamp::NotAvailable => (0, "CREATE_TIME"),
        };
        // Kafka allows nothing in a topic's name that JSON would escape.
        let (topic, partition, offset) = (message.topic(), self.partition, message.offset());
        let _infallible = write!(
            self.json,
            r#"{{"topic":"{topic}","partition":{partition},"offset":{offset},"timestamp":{timestamp},"timestampType":"{timestamp_type}","key":"#
        );
        push_base64(&mut self.json, message.key());
        self.json.push_str(",\"value\":");
        push_base64(&mut self.json, message.payload());
        self.json.push_str(",\"headers\":[");
        if let Some(headers) = message.headers() {
            push_headers(&mut self.json, headers);
        }
        self.json.push_str("]}");
        self.records.push(Record { offset, timestamp, text: start..self.json.len() });
    }

    fn remove_last(&mut self, length: usize) {
        self.records.pop();
        self.json.truncate(length);
    }
}

fn push_base64(json: &mut String, bytes: Option<&[u8]>) {
    match bytes {
        None => json.push_str("null"),
        Some(bytes) => {
            json.push('"');
            BASE64.encode_string(bytes, json);
            json.push('"');
        }
    }
}

/// Headers in their order, one object each; bytes are signed, as Java has them.
fn push_headers(json: &mut String, headers: &impl Headers) {
    for (place, header) in headers.iter().enumerate() {
        json.push_str(if place == 0 { "{" } else { ",{" });
        let key = serde_json::to_string(header.key).unwrap_or_default();
        json.push_str(&key);
        json.push_str(":[");
        for (place, byte) in header.value.unwrap_or_default().iter().enumerate() {
            json.push_str(if place == 0 { "" } else { "," });
            let _infallible = write!(json, "{}", byte.cast_signed());
        }
        json.push_str("]}");
    }
}

#[cfg(test)]
mod tests;
