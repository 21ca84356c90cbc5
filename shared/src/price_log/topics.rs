//! The topics themselves: made where the brokers lack them.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{self, Context};
use super::{PublishError, security};
use crate::config::{Kafka, KafkaSecurity};

/// Longest that one request to the brokers may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Copies of each partition, where there are as many brokers.
const REPLICATION: usize = 3;

/// Makes those of `topics` (name, partitions) that the brokers lack, and returns the names of those it made. Brokers
/// that have them all are asked for metadata only, since not every broker can make topics on request.
///
/// # Errors
/// When the brokers do not answer, or refuse to make a topic.
pub async fn ensure_topics(kafka: &Kafka, topics: &[(&str, i32)]) -> Result<Vec<String>, PublishError> {
    ensure_topics_within(TIMEOUT, kafka, topics).await
}

async fn ensure_topics_within(
    timeout: Duration,
    kafka: &Kafka,
    topics: &[(&str, i32)],
) -> Result<Vec<String>, PublishError> {
    let admin = AdminClient::from_config_and_context(&client::config(kafka), Context::new(&kafka.security))
        .map_err(|error| client::unavailable(&error))?;
    let (admin, metadata) = metadata_of_all_topics(admin, kafka.security.clone(), timeout).await?;
    let replication = i32::try_from(metadata.brokers().len().clamp(1, REPLICATION)).unwrap_or(1);
    let missing: Vec<NewTopic<'_>> = topics
        .iter()
        .filter(|(name, _)| client::existing(&metadata, name).is_none())
        .map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(replication)))
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let results =
        admin.create_topics(&missing, &options).await.map_err(|error| client::unavailable(&error))?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            // Somebody else was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(PublishError::Unavailable(format!("it did not make the topic {name}: {code}")));
            }
        }
    }
    Ok(created)
}

/// The client comes back beside its answer: asking blocks, so it happens on a thread of its own.
async fn metadata_of_all_topics(
    admin: AdminClient<Context>,
    security: KafkaSecurity,
    timeout: Duration,
) -> Result<(AdminClient<Context>, Metadata), PublishError> {
    let asked = tokio::task::spawn_blocking(move || {
        // rdkafka asks its admin client for no token.
        security::log_in(&security, admin.inner())?;
        let metadata = admin.inner().fetch_metadata(None, timeout);
        metadata.map(|metadata| (admin, metadata)).map_err(|error| client::unavailable(&error))
    });
    asked.await.unwrap_or_else(|error| Err(PublishError::Unavailable(error.to_string())))
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use super::*;

    fn kafka(cluster: &MockCluster<'_, DefaultProducerContext>) -> Kafka {
        Kafka {
            bootstrap_servers: cluster.bootstrap_servers(),
            security: KafkaSecurity::Plaintext,
            price_topic: "price-events".to_owned(),
            dead_letter_topic: "price-events.dlt".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_broker_that_has_every_topic_is_not_asked_to_make_any() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("price-events", 6, 1).unwrap();
        cluster.create_topic("price-events.dlt", 1, 1).unwrap();
        // The mock cluster has no admin API: asked to make a topic, it would not answer.
        let topics = [("price-events", 6), ("price-events.dlt", 1)];
        assert_eq!(ensure_topics(&kafka(&cluster), &topics).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_topic_that_cannot_be_made_is_an_error() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("price-events", 6, 1).unwrap();
        let topics = [("price-events", 6), ("missing", 1)];
        let made = ensure_topics_within(Duration::from_secs(1), &kafka(&cluster), &topics).await;
        assert!(matches!(made, Err(PublishError::Unavailable(_))), "{made:?}");
    }
}
