//! What every Kafka client of ours has in common.

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::PublishError;

/// Settings of every client. Connections are cheap to lose here: a Lambda sleeps between invocations while brokers,
/// load balancers and NAT gateways drop what is idle, so a dead one has to show soon and without noise.
pub(super) fn config(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("allow.auto.create.topics", "false")
        .set("log.connection.close", "false")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "3000")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// Hands librdkafka's own log lines to ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogLines;

impl ClientContext for LogLines {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Nothing below a warning comes, by the level set above.
        tracing::warn!(facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka logs the same by itself.
        tracing::debug!(%error, "{reason}");
    }
}

/// The topic in `metadata`, unless the brokers report it missing.
pub(super) fn existing<'a>(metadata: &'a Metadata, topic: &str) -> Option<&'a MetadataTopic> {
    metadata.topics().iter().find(|found| found.name() == topic && !found.partitions().is_empty())
}

pub(super) fn unavailable(error: &KafkaError) -> PublishError {
    // The wrapping texts speak of the client's calls; the code says what happened.
    PublishError::Unavailable(
        error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string()),
    )
}
