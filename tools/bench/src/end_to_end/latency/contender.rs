//! What stores the events: the bare loop or a stack, on a new topic and a new database.

use std::path::Path;

use shared::market::Symbol;

use super::bare_loop::BareLoop;
use super::{Latency, SYMBOLS};
use crate::end_to_end::kafka::Broker;
use crate::end_to_end::stack::Stack;
use crate::feed::{self, PROVIDER};
use crate::postgres::Server;
use crate::{correctness, cpu};

/// The log filter with which the emulator tells when it read each record.
const TRACED: &str = "warn,emulator::event_source_mapping::timing=trace,librdkafka=off,rdkafka=off";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    BareLoop,
    Stack,
    /// The stack of the build that it is compared with.
    Against,
    /// The stack, which logs when it read each record.
    Traced,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BareLoop => "the bare loop",
            Self::Stack => "the stack",
            Self::Against => "the stack compared with",
            Self::Traced => "the stack, traced",
        }
    }
}

/// A running contender.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) topic: String,
    runs: Runs,
}

#[derive(Debug)]
enum Runs {
    BareLoop(BareLoop),
    Stack(Stack),
}

impl Contender {
    /// Starts it, and waits until it reads.
    pub(super) async fn start(
        kind: Kind,
        latency: &Latency<'_>,
        server: &mut Server,
    ) -> anyhow::Result<Self> {
        server.new_database().await?;
        let broker = latency.broker;
        let topic = broker.new_topic_with_append_times("price-events").await?;

        let stack = async |binaries: &Path, log: Option<&str>| {
            let stack = Stack::new(binaries, server, broker, &topic)?.logging(log);
            anyhow::Ok(Runs::Stack(stack.start().await?))
        };
        let runs = match kind {
            Kind::BareLoop => Runs::BareLoop(Self::bare_loop(server, broker, &topic).await?),
            Kind::Stack => stack(latency.binaries, None).await?,
            Kind::Traced => stack(latency.binaries, Some(TRACED)).await?,
            Kind::Against => stack(latency.against.unwrap_or(latency.binaries), None).await?,
        };

        Ok(Self { topic, runs })
    }

    async fn bare_loop(server: &Server, broker: &Broker, topic: &str) -> anyhow::Result<BareLoop> {
        let symbols = feed::symbols(SYMBOLS);
        let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
        sqlx::query("insert into series (symbol, provider) select unnest($1::text[]), $2")
            .bind(names)
            .bind(PROVIDER)
            .execute(&mut server.connection().await?)
            .await?;

        tokio::task::block_in_place(|| BareLoop::start(server, broker, topic))
    }

    /// CPU time of the averagers, and of the rest, so far, in seconds.
    pub(super) fn cpu(&self) -> (f64, f64) {
        match &self.runs {
            Runs::BareLoop(bare) => (0.0, cpu::of_tree(bare.pid()).as_secs_f64()),
            Runs::Stack(stack) => {
                let (averagers, emulator) = stack.cpu();
                (averagers.as_secs_f64(), emulator.as_secs_f64())
            }
        }
    }

    /// Ends it, and checks what it stored. Returns its log.
    pub(super) async fn stop(self, server: &Server, expected: usize) -> anyhow::Result<String> {
        match self.runs {
            // It stores no averages.
            Runs::BareLoop(_) => Ok(String::new()),
            Runs::Stack(stack) => {
                let log = stack.stop_and_read_log().await?;
                correctness::check(server, expected).await?;
                Ok(log)
            }
        }
    }
}
