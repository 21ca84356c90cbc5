//! `emulator health`: whether the emulator on a data directory works, for health checks in containers that have no
//! other program to ask it.

use std::time::Duration;

use anyhow::Context as _;

use crate::cli::HealthArguments;
use crate::data_directory;

/// Longer than the api takes for its own checks.
const PATIENCE: Duration = Duration::from_secs(12);

/// Succeeds if the emulator is ready and its API, where it has one, says that Postgres and Kafka answer.
pub(crate) async fn run(arguments: &HealthArguments) -> anyhow::Result<()> {
    let path = data_directory::chosen(arguments.data_dir.as_deref())?;
    let gateway = data_directory::noted_as_ready(&path)
        .with_context(|| format!("no emulator that is ready uses {}", path.display()))?;
    if gateway.is_empty() {
        return Ok(());
    }
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let url = format!("{gateway}/health");
    let response = client.get(&url).send().await.with_context(|| format!("{url} does not answer"))?;
    let status = response.status();
    anyhow::ensure!(
        status.is_success(),
        "{url} answers {status}: {}",
        response.text().await.unwrap_or_default()
    );
    Ok(())
}
