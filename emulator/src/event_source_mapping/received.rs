//! A record as it was received from the broker.
//!
//! Nothing here may panic: a producer can put any bytes into key, value and headers.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::{ptr, slice};

use base64_simd::STANDARD as BASE64;
use rdkafka::Timestamp;
use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_message_headers};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaRespErr;

use super::timing;

/// Kafka's time of a record whose producer gave it none.
const NO_TIME: i64 = -1;

/// A record's parts, borrowed from the client's message.
#[derive(Clone, Debug)]
pub(super) struct Received<'m> {
    pub(super) topic: &'m str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: Timestamp,
    pub(super) key: Option<&'m [u8]>,
    pub(super) value: Option<&'m [u8]>,
    pub(super) headers: Vec<Header<'m>>,
    /// When it was read, for [`timing`].
    pub(super) read_at: i64,
}

/// A header. Neither its name nor its value need be text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'m> {
    pub(super) name: &'m [u8],
    pub(super) value: Option<&'m [u8]>,
}

impl<'m> Received<'m> {
    pub(super) fn new(message: &'m BorrowedMessage<'_>) -> Self {
        Self {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp(),
            key: message.key(),
            value: message.payload(),
            headers: headers(message),
            read_at: timing::now(),
        }
    }

    /// Milliseconds since 1970, or -1 if the producer gave no time, as AWS delivers it.
    pub(super) fn millis(&self) -> i64 {
        self.timestamp.to_millis().unwrap_or(NO_TIME)
    }

    /// Writes the record as it appears in MSK's event.
    pub(super) fn write(&self, json: &mut String) {
        let timestamp_type = match self.timestamp {
            Timestamp::LogAppendTime(_) => "LOG_APPEND_TIME",
            Timestamp::CreateTime(_) | Timestamp::NotAvailable => "CREATE_TIME",
        };

        // Kafka allows no character in a topic's name that JSON would escape.
        let Self {
            topic,
            partition,
            offset,
            ..
        } = self;

        let _infallible = write!(
            json,
            r#"{{"topic":"{topic}","partition":{partition},"offset":{offset},"timestamp":{},"timestampType":"{timestamp_type}","key":"#,
            self.millis()
        );
        push_base64(json, self.key);
        json.push_str(",\"value\":");
        push_base64(json, self.value);
        json.push_str(",\"headers\":[");
        push_headers(json, &self.headers);
        json.push_str("]}");
    }
}

fn push_base64(json: &mut String, bytes: Option<&[u8]>) {
    match bytes {
        None => json.push_str("null"),
        Some(bytes) => {
            json.push('"');
            BASE64.encode_append(bytes, json);
            json.push('"');
        }
    }
}

/// Writes the headers in their order, one object each. The bytes of a value are signed, as in Java.
/// What is not UTF-8 in a name becomes U+FFFD, as Java's Kafka client, which AWS's poller uses,
/// decodes it.
fn push_headers(json: &mut String, headers: &[Header<'_>]) {
    for (place, header) in headers.iter().enumerate() {
        json.push_str(if place == 0 { "{" } else { ",{" });

        let name = String::from_utf8_lossy(header.name);
        json.push_str(&serde_json::Value::from(name).to_string());
        json.push_str(":[");

        for (place, byte) in header.value.unwrap_or_default().iter().enumerate() {
            json.push_str(if place == 0 { "" } else { "," });
            let _infallible = write!(json, "{}", byte.cast_signed());
        }
        json.push_str("]}");
    }
}

/// Returns the record's headers, or none if librdkafka cannot parse them. A name ends at its first
/// NUL.
#[expect(
    unsafe_code,
    reason = "rdkafka's own accessor panics where a name is not UTF-8"
)]
fn headers<'m>(message: &'m BorrowedMessage<'_>) -> Vec<Header<'m>> {
    let mut list = ptr::null_mut();

    // SAFETY: the message lives, and only this thread uses it while its headers are parsed.
    let parsed = unsafe { rd_kafka_message_headers(message.ptr(), &raw mut list) };
    if parsed != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Vec::new();
    }

    let header = |place| {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list belongs to the message, which lives. If there is no header of this
        // number, the call returns an error.
        let found = unsafe {
            rd_kafka_header_get_all(list, place, &raw mut name, &raw mut value, &raw mut size)
        };

        (found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| {
            // SAFETY: a header that was found has a name that ends with NUL, and a value of `size`
            // bytes or none. Both belong to the message, as the lifetime of the result says.
            unsafe {
                let name = CStr::from_ptr(name).to_bytes();
                Header {
                    name,
                    value: (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), size)),
                }
            }
        })
    };

    (0..).map_while(header).collect()
}
