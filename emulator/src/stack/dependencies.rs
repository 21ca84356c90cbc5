//! Topics and schema that another emulator creates, if this one does not run the functions that a
//! deployment invokes.

use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use reqwest::Url;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::connectivity::{self, kafka_of, postgres_of};
use super::functions::Functions;
use super::parts::Parts;
use super::prepare::Addresses;
use super::readiness;
use super::waiting::Wait;
use crate::announcements::Announcements;
use crate::invoker::{InvokeError, Invoker, Outcome};
use crate::template::{EventSourceMapping, Template};

/// The other emulator may have to be built first.
const PATIENCE: Duration = Duration::from_secs(600);
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
const METADATA: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(2);

/// Waits for the parts of a deployment that `parts` leaves to others, and announces which.
pub(super) async fn wait(
    parts: &Parts,
    template: &Template,
    functions: &Functions,
    addresses: &Addresses,
    client: &reqwest::Client,
    announcements: Announcements,
) -> anyhow::Result<()> {
    if parts.deployed_by.is_empty() {
        return Ok(());
    }

    let who = format!("which the emulator of {} makes", parts.deployed_by);

    let wait = |failure| Wait {
        patience: PATIENCE,
        announcements,
        failure,
    };

    let away = async |otherwise: String| connectivity::of(addresses).await.unwrap_or(otherwise);

    for mapping in &template.event_source_mappings {
        let topics = topics_of(mapping);
        let missing = format!(
            "{} lacks the topics {}, {who}",
            kafka_of(addresses),
            topics.join(" and ")
        );

        wait("the topics did not come")
            .until(exist(&addresses.bootstrap_servers, &topics), async || {
                away(missing.clone()).await
            })
            .await?;
    }

    let missing = format!("{} has no schema yet, {who}", postgres_of(addresses));
    for mapping in &template.event_source_mappings {
        let answers = takes_batches(mapping, functions.invoker());
        wait("the schema did not come")
            .until(answers, async || away(missing.clone()).await)
            .await?;
    }

    if let Some(gateway) = &addresses.gateway {
        let answers = readiness::wait(client, gateway, PATIENCE);
        wait("the schema did not come")
            .until(answers, async || away(missing.clone()).await)
            .await?;
    }

    Ok(())
}

/// Warns if the scheduler of another emulator, in which jobs create their schedules, does not
/// answer. The start continues, because prices can be read without it.
pub(super) async fn look_for_scheduler(
    parts: &Parts,
    addresses: &Addresses,
    announcements: Announcements,
) {
    if parts.scheduler || !parts.gateway {
        return;
    }

    let Some(address) = &addresses.scheduler_of_functions else {
        return;
    };

    let connected = async {
        let url = Url::parse(address).ok()?;
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default()?;
        timeout(CONNECTION, TcpStream::connect((host, port)))
            .await
            .ok()?
            .ok()
    };

    if connected.await.is_none() {
        announcements.warning(&format!(
            "No answer from the scheduler at {address}, which AWS_ENDPOINT_URL_SCHEDULER names.\n\
             Until it answers, polling jobs can be neither created nor deleted."
        ));
    }
}

/// The topic that it reads, and the one for records that cannot be processed.
fn topics_of(mapping: &EventSourceMapping) -> Vec<String> {
    std::iter::once(&mapping.topic)
        .chain(&mapping.on_failure_topic)
        .cloned()
        .collect()
}

/// Returns once all of `topics` exist.
async fn exist(bootstrap_servers: &str, topics: &[String]) -> anyhow::Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("allow.auto.create.topics", "false")
        .create()
        .context("cannot make a Kafka client")?;

    let topics = topics.to_vec();
    let consumer = std::sync::Arc::new(consumer);

    loop {
        let (asked, wanted) = (std::sync::Arc::clone(&consumer), topics.clone());
        let found = tokio::task::spawn_blocking(move || {
            let metadata = asked.fetch_metadata(None, METADATA).ok()?;
            let has = |name: &String| {
                metadata
                    .topics()
                    .iter()
                    .any(|topic| topic.name() == name && !topic.partitions().is_empty())
            };
            Some(wanted.iter().all(has))
        });

        if found.await? == Some(true) {
            return Ok(());
        }

        sleep(BETWEEN_LOOKS).await;
    }
}

/// Returns once the function accepts a batch. The batch has no records, so it succeeds as soon as
/// the function has what it needs.
async fn takes_batches(
    mapping: &EventSourceMapping,
    invoker: std::sync::Arc<dyn Invoker>,
) -> anyhow::Result<()> {
    let event = json!({
        "eventSource": "aws:kafka",
        "eventSourceArn": mapping.event_source_arn,
        "records": {},
    });
    let event = Bytes::from(event.to_string());

    loop {
        match invoker.invoke(&mapping.function, event.clone()).await {
            Ok(Outcome::Success(_)) => return Ok(()),
            Err(error @ InvokeError::Stopping) => return Err(error.into()),
            Ok(Outcome::FunctionError(_)) | Err(_) => sleep(BETWEEN_LOOKS).await,
        }
    }
}
