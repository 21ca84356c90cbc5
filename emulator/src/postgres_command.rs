//! `emulator postgres`: runs only the emulator's own Postgres.

use serde_json::json;

use crate::announcements::Announcements;
use crate::backing::postgres::{self, Postgres, PostgresSettings};
use crate::cli::PostgresArguments;
use crate::data_directory;
use crate::settings::Settings;
use crate::signals::StopRequest;

/// Runs Postgres until the emulator is asked to stop.
pub(crate) async fn run(
    arguments: &PostgresArguments,
    environment: &Settings,
) -> anyhow::Result<()> {
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

    announcements.started(
        "postgres",
        &postgres::masked(postgres.url()),
        &postgres.describe(),
    );

    let shown = postgres::shown(postgres.url(), common.show_passwords);
    let hint = if common.show_passwords {
        ""
    } else {
        "\n(--show-passwords shows the password)"
    };

    announcements.ready(
        json!({"database_url": shown, "data_directory": data_directory.path()}),
        &format!("\nReady. Connect with\n  psql '{shown}'{hint}"),
    );

    request.stop.cancelled().await;
    announcements.stopping();
    postgres.stop(StopRequest::deadline()).await;
    announcements.stopped();
    Ok(())
}
