//! The on-failure destination: one message per discarded record, in AWS's format.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::try_join_all;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use serde_json::{Value, json};
use uuid::Uuid;

use super::batch::Batch;
use super::retry::Condition;
use crate::template::EventSourceMapping;

/// Sends dead letters and waits until all in-sync replicas have them.
pub(super) struct DeadLetters {
    producer: FutureProducer,
    topic: String,
    function_arn: String,
    event_source_arn: String,
    bootstrap_servers: String,
}

impl DeadLetters {
    /// Creates the producer. Returns `None` if the mapping has no destination.
    pub(super) fn open(
        definition: &EventSourceMapping,
        bootstrap_servers: &str,
    ) -> Result<Option<Self>, KafkaError> {
        let Some(topic) = definition.on_failure_topic.clone() else {
            return Ok(None);
        };

        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("client.id", format!("{}-dead-letters", definition.id))
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("allow.auto.create.topics", "false")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "10000")
            // An envelope is larger than the record in it.
            .set("message.max.bytes", "16000000")
            .create()?;

        let function_arn = function_arn(&definition.event_source_arn, &definition.function);
        let (event_source_arn, bootstrap_servers) = (
            definition.event_source_arn.clone(),
            bootstrap_servers.to_owned(),
        );

        Ok(Some(Self {
            producer,
            topic,
            function_arn,
            event_source_arn,
            bootstrap_servers,
        }))
    }

    /// Returns once every record's dead letter is acknowledged.
    pub(super) async fn send(
        &self,
        batch: &Batch,
        numbers: &[usize],
        condition: Condition,
        attempts: u32,
    ) -> Result<(), KafkaError> {
        for some in numbers.chunks(1_000) {
            try_join_all(
                some.iter()
                    .map(|number| self.send_one(batch, *number, condition, attempts)),
            )
            .await?;
        }

        Ok(())
    }

    async fn send_one(
        &self,
        batch: &Batch,
        number: usize,
        condition: Condition,
        attempts: u32,
    ) -> Result<(), KafkaError> {
        let Some(record) = batch
            .record_json(number)
            .and_then(|text| serde_json::from_slice::<Value>(text).ok())
        else {
            return Ok(());
        };

        let key = record["key"]
            .as_str()
            .and_then(|key| BASE64.decode(key).ok());

        let mut letter = self.envelope(&record, condition, attempts);
        let sent = self.produce(key.as_deref(), &letter).await;
        if !is_too_large(&sent) {
            return sent;
        }

        // The record remains in its own topic for as long as that retains it; the letter names its
        // offset.
        let topic = &self.topic;
        tracing::error!(
            topic,
            "a dead letter is too large for {topic}; sent without key, value and headers"
        );

        let records = letter["payload"]["records"].as_object_mut();
        for records in records.into_iter().flat_map(|all| all.values_mut()) {
            (records[0]["key"], records[0]["value"]) = (Value::Null, Value::Null);
            records[0]["headers"] = json!([]);
        }
        self.produce(None, &letter).await
    }

    async fn produce(&self, key: Option<&[u8]>, letter: &Value) -> Result<(), KafkaError> {
        let text = letter.to_string();
        let mut message = FutureRecord::<[u8], str>::to(&self.topic).payload(&text);
        message.key = key;

        self.producer
            .send(message, Timeout::Never)
            .await
            .map(drop)
            .map_err(|(error, _)| error)
    }

    fn envelope(&self, record: &Value, condition: Condition, attempts: u32) -> Value {
        let partition = format!(
            "{}-{}",
            record["topic"].as_str().unwrap_or_default(),
            record["partition"]
        );
        let recorded = record["timestamp"]
            .as_i64()
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default();
        let invoked = condition == Condition::RetriesExhausted;
        let response = json!({ "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" });

        json!({
            "requestContext": {
                "requestId": Uuid::new_v4(),
                "functionArn": self.function_arn,
                "condition": condition.as_str(),
                "approximateInvokeCount": attempts,
            },
            "responseContext": invoked.then_some(response),
            "version": "1.0",
            "timestamp": time(Utc::now()),
            "KafkaBatchInfo": {
                "batchSize": 1,
                "eventSourceArn": self.event_source_arn,
                "bootstrapServers": self.bootstrap_servers,
                "payloadSize": record.to_string().len(),
                "recordInfo": { "offset": record["offset"].to_string(), "timestamp": time(recorded) },
            },
            "payload": {
                "bootstrapServers": self.bootstrap_servers,
                "eventSource": "aws:kafka",
                "eventSourceArn": self.event_source_arn,
                "records": { partition: [record] },
            },
        })
    }
}

fn is_too_large(sent: &Result<(), KafkaError>) -> bool {
    let code = sent.as_ref().err().and_then(KafkaError::rdkafka_error_code);
    code == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

fn time(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns the function's ARN. The function is in the region and account of its event source.
fn function_arn(event_source_arn: &str, function: &str) -> String {
    let parts: Vec<&str> = event_source_arn.split(':').collect();
    let [_, partition, _, region, account, ..] = parts[..] else {
        return function.to_owned();
    };
    format!("arn:{partition}:lambda:{region}:{account}:function:{function}:$LATEST")
}
