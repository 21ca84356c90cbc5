//! Settings and callbacks shared by all Kafka clients.

use std::error::Error;

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::{PublishError, iam, security};
use crate::config::{Kafka, KafkaSecurity, Login, Tls};

/// Settings of every client. Connections break often: a Lambda function is frozen between
/// invocations, while brokers, load balancers and NAT gateways drop idle connections. So a dead
/// connection must be noticed soon, and without noise in the log.
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

/// Forwards librdkafka's log lines to ours, and provides a token if the brokers require one.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// The region of the MSK cluster that requires a token; `None` if there is none.
    region: Option<String>,
}

impl Context {
    pub(super) fn new(security: &KafkaSecurity) -> Self {
        let region = match security {
            KafkaSecurity::Tls(Tls {
                login: Some(Login::Iam { region }),
                ..
            }) => Some(region.clone()),
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
        // Only warnings and errors arrive, by the level set above.
        tracing::warn!(facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka logs the same error itself.
        tracing::debug!(%error, "{reason}");
    }
}

impl ConsumerContext for Context {}

/// The topic in `metadata`, unless the brokers report it as missing.
pub(super) fn existing<'a>(metadata: &'a Metadata, topic: &str) -> Option<&'a MetadataTopic> {
    metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic && !found.partitions().is_empty())
}

pub(super) fn unavailable(error: &KafkaError) -> PublishError {
    // The error's own text describes the client's call; its code says what happened.
    PublishError::Unavailable(
        error
            .rdkafka_error_code()
            .map_or_else(|| error.to_string(), |code| code.to_string()),
    )
}
