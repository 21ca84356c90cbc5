//! The topics themselves: missing ones are created, and existing ones checked.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;

use self::settings::Settings;
use super::client::{self, Context};
use super::{PublishError, security};
use crate::config::{Kafka, KafkaSecurity};

mod settings;

pub use settings::Topic;

/// Longest that one request to the brokers may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that one request for settings may take; they are optional.
const DESCRIPTION_TIMEOUT: Duration = Duration::from_secs(3);
/// Prefix of the cluster id of librdkafka's mock cluster, which the emulator embeds. It never
/// answers requests for settings.
const MOCK_CLUSTER: &str = "mockCluster";
/// Replicas of each partition, if there are as many brokers.
const COPIES: usize = 3;

/// What was created and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ensured {
    /// Names of the topics that were created.
    pub created: Vec<String>,
    /// Where existing topics are weaker than newly created ones. Changing them is up to their
    /// owner.
    pub shortcomings: Vec<String>,
}

/// Creates those of `topics` that are missing, and checks the settings of the others. Brokers that
/// have all topics only need to answer for their metadata, since not every broker supports more.
///
/// # Errors
/// When the brokers do not answer, or refuse to create a topic.
pub async fn ensure_topics(kafka: &Kafka, topics: &[Topic<'_>]) -> Result<Ensured, PublishError> {
    ensure_topics_within(TIMEOUT, kafka, topics).await
}

async fn ensure_topics_within(
    timeout: Duration,
    kafka: &Kafka,
    topics: &[Topic<'_>],
) -> Result<Ensured, PublishError> {
    let admin =
        AdminClient::from_config_and_context(&client::config(kafka), Context::new(&kafka.security))
            .map_err(|error| client::unavailable(&error))?;

    let (admin, metadata, tells_settings) =
        metadata_of_all_topics(admin, kafka.security.clone(), timeout).await?;
    let copies = i32::try_from(metadata.brokers().len().clamp(1, COPIES)).unwrap_or(1);

    let mut ensured = Ensured::default();
    for topic in topics {
        if client::existing(&metadata, topic.name).is_none()
            && create(&admin, timeout, topic, copies).await?
        {
            ensured.created.push(topic.name.to_owned());
        }
    }

    if tells_settings {
        ensured.shortcomings = shortcomings(&admin, &metadata, topics).await;
    }

    Ok(ensured)
}

/// Creates the topic; returns false if it was created concurrently.
async fn create(
    admin: &AdminClient<Context>,
    timeout: Duration,
    topic: &Topic<'_>,
    copies: i32,
) -> Result<bool, PublishError> {
    let settings = Settings::new(topic, copies);
    let mut made = try_create(admin, timeout, topic, &settings).await?;
    if made == Err(RDKafkaErrorCode::InvalidConfig) {
        made = try_create(admin, timeout, topic, &settings.for_older_brokers()).await?;
    }

    match made {
        Ok(()) => Ok(true),
        Err(RDKafkaErrorCode::TopicAlreadyExists) => Ok(false),
        Err(code) => Err(PublishError::Unavailable(format!(
            "it did not make the topic {}: {code}",
            topic.name
        ))),
    }
}

async fn try_create(
    admin: &AdminClient<Context>,
    timeout: Duration,
    topic: &Topic<'_>,
    settings: &Settings,
) -> Result<Result<(), RDKafkaErrorCode>, PublishError> {
    let options = AdminOptions::new()
        .request_timeout(Some(timeout))
        .operation_timeout(Some(timeout));

    let made = admin
        .create_topics(&[settings.apply(topic)], &options)
        .await;
    let made = made.map_err(|error| client::unavailable(&error))?.pop();
    Ok(made
        .unwrap_or(Ok(String::new()))
        .map(|_| ())
        .map_err(|(_, code)| code))
}

/// Where the topics in `metadata` are weaker than new ones; empty if the brokers do not return
/// settings.
async fn shortcomings(
    admin: &AdminClient<Context>,
    metadata: &Metadata,
    topics: &[Topic<'_>],
) -> Vec<String> {
    let copies = |topic: &Topic<'_>| {
        let found = client::existing(metadata, topic.name)?;
        let copies = found
            .partitions()
            .iter()
            .map(|partition| partition.replicas().len())
            .min()?;
        i32::try_from(copies).ok()
    };

    let existing: Vec<(&Topic<'_>, i32)> = topics
        .iter()
        .filter_map(|topic| Some((topic, copies(topic)?)))
        .collect();
    let asked: Vec<_> = existing
        .iter()
        .map(|(topic, _)| ResourceSpecifier::Topic(topic.name))
        .collect();
    if asked.is_empty() {
        return Vec::new();
    }

    let options = AdminOptions::new().request_timeout(Some(DESCRIPTION_TIMEOUT));
    let told = match admin.describe_configs(&asked, &options).await {
        Ok(told) => told,
        Err(error) => {
            tracing::debug!(%error, "the brokers do not tell the settings of topics");
            return Vec::new();
        }
    };

    let each = existing.iter().zip(told);
    each.filter_map(|((topic, copies), is)| Some(settings::shortcomings(topic, *copies, &is.ok()?)))
        .flatten()
        .collect()
}

/// Reads the metadata, and whether the brokers return the settings of topics. The call blocks, so
/// the client moves to another thread and is returned with the answer.
async fn metadata_of_all_topics(
    admin: AdminClient<Context>,
    security: KafkaSecurity,
    timeout: Duration,
) -> Result<(AdminClient<Context>, Metadata, bool), PublishError> {
    let asked = tokio::task::spawn_blocking(move || {
        // Logged in before any request: rdkafka's admin client never asks for a token.
        security::log_in(&security, admin.inner())?;
        let metadata = admin.inner().fetch_metadata(None, timeout);
        let metadata = metadata.map_err(|error| client::unavailable(&error))?;

        let cluster = admin.inner().fetch_cluster_id(timeout);
        let mock = cluster.is_some_and(|cluster| cluster.starts_with(MOCK_CLUSTER));
        Ok((admin, metadata, !mock))
    });

    asked
        .await
        .unwrap_or_else(|error| Err(PublishError::Unavailable(error.to_string())))
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use std::time::Instant;

    use super::*;

    fn kafka(cluster: &MockCluster<'_, DefaultProducerContext>) -> Kafka {
        Kafka {
            bootstrap_servers: cluster.bootstrap_servers(),
            security: KafkaSecurity::Plaintext,
            price_topic: "price-events".to_owned(),
            dead_letter_topic: "price-events.dlt".to_owned(),
        }
    }

    fn topics(names: [&str; 2]) -> [Topic<'_>; 2] {
        names.map(|name| Topic {
            name,
            partitions: 1,
            retention_days: 7,
            bounds_times: true,
        })
    }

    #[tokio::test]
    async fn a_broker_that_has_every_topic_is_not_asked_to_make_any() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("price-events", 6, 1).unwrap();
        cluster.create_topic("price-events.dlt", 1, 1).unwrap();
        // The mock cluster has no admin API: it would not answer a request to create a topic.
        let topics = topics(["price-events", "price-events.dlt"]);
        let (kafka, start) = (kafka(&cluster), Instant::now());

        assert_eq!(ensure_topics(&kafka, &topics).await, Ok(Ensured::default()));
        assert!(
            start.elapsed() < DESCRIPTION_TIMEOUT,
            "nor for settings, which would cost every start seconds"
        );
    }

    #[tokio::test]
    async fn a_topic_that_cannot_be_made_is_an_error() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("price-events", 6, 1).unwrap();
        let topics = topics(["price-events", "missing"]);
        let made = ensure_topics_within(Duration::from_secs(1), &kafka(&cluster), &topics).await;
        assert!(
            matches!(made, Err(PublishError::Unavailable(_))),
            "{made:?}"
        );
    }
}
