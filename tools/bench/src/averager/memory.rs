//! The peak memory of the averager's own binary at batches of 10,000.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cpu;
use crate::feed::{self, Delivery, Feed};
use crate::postgres::Server;
use crate::runtime_api::{RuntimeApi, Seen};

const BATCH: usize = 10_000;
const BATCHES: usize = 30;
const SYMBOLS: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// The peak in MiB, after many full batches that contain repeats and late events.
pub(super) async fn peak(server: &mut Server, binaries: &Path) -> anyhow::Result<f64> {
    server.new_database().await?;

    let symbols = feed::symbols(SYMBOLS);
    let mut feed = Feed::new(&symbols, feed::start_before_now(100)?, Delivery::Imperfect)?;

    let mut api = RuntimeApi::open().await?;
    for _ in 0..BATCHES {
        api.hand_out(feed.batch(BATCH)?);
    }

    let mut function = Command::new(binaries.join("averager"))
        .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "averager")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("DATABASE_URL", &server.url)
        .env("RUST_LOG", "warn")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting the averager")?;

    let mut answered = 0;
    while answered < BATCHES {
        let seen = timeout(PATIENCE, api.seen())
            .await
            .context("the averager does not answer")?;
        match seen {
            Some((_, Seen::AskedForWork)) => {}
            Some((_, Seen::Answered(Ok(_)))) => answered += 1,
            Some((_, Seen::Answered(Err(error)))) => {
                anyhow::bail!("the averager failed on a batch: {error}")
            }
            None => anyhow::bail!("the Runtime API ended"),
        }
    }

    // Before the process is ended, because `/proc` shows only running processes.
    let peak = function
        .id()
        .and_then(cpu::peak_memory)
        .context("the averager is gone")?;

    function.kill().await?;
    Ok(peak)
}
