//! The embedded broker: librdkafka's mock cluster, which speaks Kafka's protocol and keeps its
//! records in memory.

use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;
use rdkafka::mocking::MockCluster;
use tokio::sync::oneshot;

/// A topic to create at start: the embedded broker cannot create topics on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) partitions: i32,
}

/// A broker on a free loopback port, which runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Embedded {
    bootstrap_servers: String,
    _running: mpsc::Sender<()>,
}

impl Embedded {
    /// Starts a broker that has `topics`.
    pub(crate) async fn start(topics: Vec<Topic>) -> anyhow::Result<Self> {
        let (running, until_dropped) = mpsc::channel();
        let (started, bootstrap_servers) = oneshot::channel();

        // The cluster cannot move between threads, so one thread creates, keeps and ends it.
        thread::Builder::new()
            .name("broker".to_owned())
            .spawn(move || {
                let cluster = match cluster(&topics) {
                    Ok(cluster) => cluster,
                    Err(error) => return drop(started.send(Err(error))),
                };
                if started.send(Ok(cluster.bootstrap_servers())).is_ok() {
                    let _dropped = until_dropped.recv();
                }
            })
            .context("cannot start the broker's thread")?;

        let bootstrap_servers = bootstrap_servers
            .await
            .context("the broker's thread ended")??;

        Ok(Self {
            bootstrap_servers,
            _running: running,
        })
    }

    /// The address, in the format of clients' `bootstrap.servers`.
    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

fn cluster(
    topics: &[Topic],
) -> anyhow::Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>> {
    let cluster = MockCluster::new(1).context("cannot start the embedded broker")?;

    for topic in topics {
        cluster
            .create_topic(&topic.name, topic.partitions, 1)
            .with_context(|| format!("cannot make topic {}", topic.name))?;
    }

    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_topics_are_there_with_their_partitions_as_soon_as_it_is_started() {
        let topics = vec![
            Topic {
                name: "price-events".to_owned(),
                partitions: 6,
            },
            Topic {
                name: "price-events.dlt".to_owned(),
                partitions: 1,
            },
        ];
        let broker = Embedded::start(topics.clone()).await.unwrap();

        assert!(broker.bootstrap_servers().starts_with("127.0.0.1:"));

        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap_servers())
            .create()
            .unwrap();

        let metadata = tokio::task::spawn_blocking(move || {
            consumer
                .fetch_metadata(None, Duration::from_secs(10))
                .map(|metadata| {
                    let mut found: Vec<_> = metadata
                        .topics()
                        .iter()
                        .map(|t| (t.name().to_owned(), t.partitions().len()))
                        .collect();
                    found.sort();
                    found
                })
        });

        let expected = [
            ("price-events".to_owned(), 6),
            ("price-events.dlt".to_owned(), 1),
        ];
        assert_eq!(metadata.await.unwrap().unwrap(), expected);
    }
}
