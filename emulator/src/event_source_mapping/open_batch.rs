//! A batch that gathers records, each written at once as it will stand in the event.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rdkafka::Timestamp;
use rdkafka::message::{Headers, Message};

use super::batch::{Batch, EventHead, LARGEST_PAYLOAD, PartitionRecords, Record};

/// Records that wait for their invocation.
#[derive(Debug, Default)]
pub(super) struct OpenBatch {
    partitions: Vec<OpenPartition>,
    len: usize,
    bytes: usize,
}

/// The records of one partition, in order.
#[derive(Debug)]
struct OpenPartition {
    partition: i32,
    epoch: u64,
    /// The records' JSON, with commas between them.
    json: String,
    /// Where in `json` each record stands.
    records: Vec<Record>,
}

impl OpenBatch {
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

    /// Keeps the partitions that are still held under the epoch in which their records were read.
    pub(super) fn retain(&mut self, held: impl Fn(i32, u64) -> bool) {
        self.partitions.retain(|records| held(records.partition, records.epoch));
        self.len = self.partitions.iter().map(|records| records.records.len()).sum();
        self.bytes = self.partitions.iter().map(|records| records.json.len()).sum();
    }

    /// Joins the records into the event of the whole batch.
    pub(super) fn close(self, head: &EventHead, topic: &str) -> Batch {
        let mut event =
            String::with_capacity(head.as_str().len() + self.bytes + 256 * (self.partitions.len() + 1));
        event.push_str(head.as_str());
        let mut partitions = Vec::with_capacity(self.partitions.len());
        for (place, OpenPartition { partition, epoch, json, mut records }) in
            self.partitions.into_iter().enumerate()
        {
            let comma = if place == 0 { "" } else { "," };
            let _infallible = write!(event, "{comma}\"{topic}-{partition}\":[");
            for record in &mut records {
                record.text = record.text.start + event.len()..record.text.end + event.len();
            }
            event.push_str(&json);
            event.push(']');
            partitions.push(PartitionRecords { partition, epoch, records });
        }
        event.push_str("}}");
        Batch::new(partitions, event)
    }
}

impl OpenPartition {
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
