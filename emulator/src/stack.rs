//! The whole stack: what is started, in which order, when it is ready, and how it ends.

mod connectivity;
mod current_host;
mod default_provider;
mod dependencies;
mod deployment;
mod first_steps;
mod functions;
mod functions_file;
mod listeners;
mod parts;
mod prepare;
mod readiness;
mod remote_functions;
mod schedule_groups;
mod sources;
mod start;
mod stop;
mod waiting;

use std::net::IpAddr;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::announcements::Announcements;
use crate::backing::broker::Broker;
use crate::backing::postgres::Postgres;
use crate::cli::StackArguments;
use crate::data_directory;
use crate::settings::Settings;
use crate::signals::StopRequest;
use crate::visitors::AllowedHosts;
use functions::Functions;

/// Everything that was started. A start that fails or is interrupted is ended through it, so that
/// nothing is left running.
#[derive(Debug)]
pub(crate) struct Stack {
    announcements: Announcements,
    show_passwords: bool,
    allowed_hosts: AllowedHosts,
    /// The address at which others reach the HTTP API.
    reached_at: IpAddr,
    request: StopRequest,
    postgres: Option<Postgres>,
    broker: Option<Broker>,
    functions: Option<Functions>,
    /// This emulator's name in consumer groups, kept in the data directory from start to start.
    group_member: Option<String>,
    /// Gateway, scheduler and event source mappings, which bring work to the functions.
    sources: TaskTracker,
    /// Cancelled at the beginning of the end: the sources accept no more work.
    no_new_work: CancellationToken,
}

/// Runs the stack until it is asked to stop.
pub(crate) async fn run(arguments: &StackArguments, settings: &Settings) -> anyhow::Result<()> {
    let announcements = Announcements::new(arguments.common.output);
    let request = StopRequest::listen(arguments.common.until_stdin_closes)?;
    let data_directory = data_directory::open(&arguments.common).await?;
    let of_flags =
        AllowedHosts::read(arguments.allowed_hosts.iter().map(String::as_str)).unwrap_or_default();

    let mut stack = Stack {
        announcements,
        show_passwords: arguments.common.show_passwords,
        allowed_hosts: settings.allowed_hosts.and(&of_flags),
        reached_at: arguments.published_on.unwrap_or(arguments.listen),
        request: request.clone(),
        postgres: None,
        broker: None,
        functions: None,
        group_member: Some(data_directory.group_member()?),
        sources: TaskTracker::new(),
        no_new_work: CancellationToken::new(),
    };

    let outcome = tokio::select! {
        started = Box::pin(stack.start(arguments, settings, &data_directory)) => started,
        () = request.stop.cancelled() => Ok(()),
    };

    if outcome.is_ok() {
        request.stop.cancelled().await;
        // First: the parts end from here on, so `emulator health` must no longer find one that is
        // ready.
        data_directory.note_end();
        announcements.stopping();
    }

    stack.stop().await;
    outcome.inspect(|()| announcements.stopped())
}
