//! The emulator's own broker: one in this process that keeps its records in memory, or a real
//! Kafka.

mod embedded;
mod kafka;

use std::path::{Path, PathBuf};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::BrokerKind;
use embedded::Embedded;
pub(crate) use embedded::Topic;
use kafka::Kafka;
pub(crate) use kafka::end_leftover;

/// How to start the broker.
#[derive(Debug)]
pub(crate) struct BrokerSettings<'a> {
    pub(crate) kind: BrokerKind,
    /// The emulator's data directory.
    pub(crate) data_directory: &'a Path,
    /// The project that contains the script which runs Kafka.
    pub(crate) project: PathBuf,
    /// The topics of an embedded broker, which cannot create topics on request.
    pub(crate) topics: Vec<Topic>,
}

/// A broker that runs until it is stopped.
#[derive(Debug)]
pub(crate) enum Broker {
    Embedded(Embedded),
    Kafka(Kafka),
}

impl Broker {
    /// Starts the broker. `hurry` shortens its stop.
    pub(crate) async fn start(
        settings: BrokerSettings<'_>,
        hurry: CancellationToken,
    ) -> anyhow::Result<Self> {
        match settings.kind {
            BrokerKind::Embedded => Embedded::start(settings.topics).await.map(Self::Embedded),
            BrokerKind::Kafka => Kafka::start(&settings.project, settings.data_directory, hurry)
                .await
                .map(Self::Kafka),
        }
    }

    /// The address, in the format of clients' `bootstrap.servers`.
    pub(crate) fn bootstrap_servers(&self) -> &str {
        match self {
            Self::Embedded(embedded) => embedded.bootstrap_servers(),
            Self::Kafka(kafka) => kafka.bootstrap_servers(),
        }
    }

    /// Whether the topics exist from the start. Those of a real Kafka are created by the
    /// deployment.
    pub(crate) fn has_topics(&self) -> bool {
        matches!(self, Self::Embedded(_))
    }

    /// A description for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Embedded(_) => {
                "embedded; NOT durable: events not yet processed are lost when it stops \
                                  (--broker kafka keeps them)"
                    .to_owned()
            }
            Self::Kafka(kafka) => kafka.describe(),
        }
    }

    /// Ends the broker by `deadline`, and returns when it has ended.
    pub(crate) async fn stop(self, deadline: Instant) {
        if let Self::Kafka(kafka) = self {
            kafka.stop(deadline).await;
        }
    }
}
