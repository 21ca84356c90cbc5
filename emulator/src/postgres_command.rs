//! `emulator postgres`: the emulator's own Postgres and nothing else.

use serde_json::json;

use crate::announcements::Announcements;
use crate::backing::postgres::{self, Postgres, PostgresSettings};
use crate::cli::PostgresArguments;
use crate::data_directory;
use crate::settings::Settings;
use crate::signals::StopRequest;

/// Runs Postgres until it is asked to stop.
pub(crate) async fn run(arguments: &PostgresArguments, environment: &Settings) -> anyhow::Result<()> {
    let common = &arguments.common;
    let announcements = Announcements::new(common.output);
    let request = StopRequest::listen(common.until_stdin_closes)?;
    let data_directory = data_directory::open(common).await?;
    let settings = PostgresSettings {
        data_directory: data_directory.path(),
        source: common.postgres,
        port: arguments.port,
        environment,
        announcements,
    };
    let postgres = tokio::select! {
        postgres = Postgres::start(settings, request.hurry.clone()) => postgres?,
        () = request.stop.cancelled() => return Ok(()),
    };
    let shown = postgres::masked(postgres.url());
    announcements.started("postgres", &shown, &postgres.describe());
    announcements.ready(
        json!({"database_url": postgres.url().as_str(), "data_directory": data_directory.path()}),
        &format!("\nReady. Connect with\n  psql '{}'", postgres.url()),
    );
    request.stop.cancelled().await;
    announcements.stopping();
    postgres.stop().await;
    announcements.stopped();
    Ok(())
}
