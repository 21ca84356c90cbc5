//! Against a real PostgreSQL: the one on this machine, or the fetched one.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::*;
use crate::settings::PostgresIdentity;
use crate::signals::StopRequest;

/// A data directory that the user who runs Postgres can reach.
fn data_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).expect("permissions");
    directory
}

fn settings<'a>(directory: &'a Path, environment: &'a Settings) -> PostgresSettings<'a> {
    let announcements = Announcements::silent();
    PostgresSettings {
        data_directory: directory,
        source: None,
        port: None,
        environment,
        announcements,
    }
}

/// This machine's environment, without the variables for a Postgres of the user's own.
fn environment() -> Settings {
    let mut environment = Settings::from_environment().expect("a sound environment");
    environment.postgres = PostgresIdentity::default();
    environment
}

async fn start(directory: &Path) -> Postgres {
    let hurry = CancellationToken::new();
    Postgres::start(settings(directory, &environment()), hurry)
        .await
        .expect("PostgreSQL starts")
}

fn process_id(postgres: &Postgres) -> Option<Pid> {
    let noted = fs::read_to_string(postgres.data.join("postmaster.pid")).ok()?;

    noted.lines().next()?.parse().ok().map(Pid::from_raw)
}

fn takes_connections(url: &Url) -> bool {
    TcpStream::connect(("127.0.0.1", url.port().expect("a port"))).is_ok()
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_database_is_at_the_same_url_after_a_stop_and_nothing_listens_between() {
    let directory = data_directory();
    let first = start(directory.path()).await;
    let url = first.url().clone();

    assert!(takes_connections(&url));

    first.stop(StopRequest::deadline()).await;
    assert!(!takes_connections(&url));

    let second = start(directory.path()).await;
    assert_eq!(second.url(), &url);

    second.stop(StopRequest::deadline()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_is_started_again() {
    let directory = data_directory();
    let postgres = start(directory.path()).await;

    let killed = process_id(&postgres).unwrap();

    kill(killed, Signal::SIGKILL).unwrap();

    eventually("another process takes connections", || {
        process_id(&postgres).is_some_and(|pid| pid != killed) && takes_connections(postgres.url())
    })
    .await;

    postgres.stop(StopRequest::deadline()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_a_killed_emulator_left_running_is_ended_by_the_next_start() {
    let directory = data_directory();
    let environment = environment();
    let (server, _) = prepare(settings(directory.path(), &environment))
        .await
        .unwrap();

    let mut leftover = server.start().await.unwrap();

    let successor = start(directory.path()).await;

    assert!(
        leftover.wait().await.unwrap().success(),
        "it was not shut down, but killed"
    );

    assert!(takes_connections(successor.url()));

    successor.stop(StopRequest::deadline()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_data_means_no_data_even_while_a_leftover_runs_on_them() {
    let directory = data_directory();
    let environment = environment();
    let (server, _) = prepare(settings(directory.path(), &environment))
        .await
        .unwrap();

    let data = server.cluster.data.clone();
    let mut leftover = server.start().await.unwrap();

    delete(directory.path()).await.unwrap();

    assert!(leftover.wait().await.is_ok() && !data.exists());
}
