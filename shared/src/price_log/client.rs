//! What every Kafka client of ours has in common.

use std::error::Error;

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::{PublishError, iam, security};
use crate::config::{Kafka, KafkaSecurity, Login, Tls};

/// Settings of every client. Connections are cheap to lose here: a Lambda sleeps between invocations while brokers,
/// load balancers and NAT gateways drop what is idle, so a dead one has to show soon and without noise.
pub(super) fn config(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("allow.auto.create.topics", "false")
        .set("log.connection.close", "false")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "3000")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set_log_level(RDKafkaLogLevel::Warning);
    security::apply(&kafka.security, &mut config);
    config
}

/// Hands librdkafka's own log lines to ours, and gives it a token where the brokers want one.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// In which MSK is that wants a token.
    region: Option<String>,
}

impl Context {
    pub(super) fn new(security: &KafkaSecurity) -> Self {
        let region = match security {
            KafkaSecurity::Tls(Tls { login: Some(Login::Iam { region }), .. }) => Some(region.clone()),
            _ => None,
        };
        Self { region }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let region = self.region.as_deref().ok_or("no token is configured")?;
        iam::token(region).inspect_err(|error| tracing::warn!(%error, "no token for MSK"))
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Nothing below a warning comes, by the level set above.
        tracing::warn!(facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka logs the same by itself.
        tracing::debug!(%error, "{reason}");
    }
}

impl ConsumerContext for Context {}

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
