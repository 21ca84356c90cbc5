//! The start of functions that run elsewhere: their host gets their variables in a file, and is waited for.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::functions_file::FunctionsFile;
use crate::Unusable;
use crate::announcements::Announcements;
use crate::remote_host::RemoteHost;

/// Somebody has to start it by hand, in another terminal.
const PATIENCE: Duration = Duration::from_secs(300);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Waits until the host takes connections; tells how to start one with the variables in `file`.
pub(super) async fn wait(
    host: &RemoteHost,
    file: &FunctionsFile,
    announcements: Announcements,
) -> anyhow::Result<()> {
    let (url, shown) = (host.url(), file.shown());
    if host.takes_connections().await {
        if file.changed {
            announcements.warning(&format!(
                "The host of the functions at {url} runs already, and {shown} has changed:\n\
                 if it reads its variables from there, start it again."
            ));
        }
        return Ok(());
    }
    let start = host.start_command(&shown);
    announcements.notice(&format!(
        "waiting for up to {} s for the functions at {url}; start them in another terminal:\n  {start}",
        PATIENCE.as_secs()
    ));
    let deadline = Instant::now() + PATIENCE;
    while !host.takes_connections().await {
        if Instant::now() > deadline {
            return Err(Unusable(format!("--functions: nobody answers at {url}; start {start}")).into());
        }
        sleep(BETWEEN_LOOKS).await;
    }
    Ok(())
}
