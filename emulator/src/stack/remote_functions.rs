//! The start of functions that run elsewhere: waits for their host, which reads their variables
//! from a file.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::functions_file::FunctionsFile;
use crate::Unusable;
use crate::announcements::Announcements;
use crate::remote_host::RemoteHost;

/// A user starts the host by hand, in another terminal.
const PATIENCE: Duration = Duration::from_secs(300);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Waits until the host accepts connections. Announces the command that starts one with the
/// variables in `file`.
pub(super) async fn wait(
    host: &RemoteHost,
    file: &FunctionsFile,
    announcements: Announcements,
) -> anyhow::Result<()> {
    wait_for(PATIENCE, host, file, announcements).await
}

async fn wait_for(
    patience: Duration,
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
        patience.as_secs()
    ));

    let deadline = Instant::now() + patience;
    while !host.takes_connections().await {
        if Instant::now() > deadline {
            return Err(
                Unusable(format!("--functions: no answer from {url}; start {start}")).into(),
            );
        }
        sleep(BETWEEN_LOOKS).await;
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_host_that_never_comes_ends_the_start_with_its_address_and_how_to_start_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();

        let host = RemoteHost::new(format!("http://{address}").parse().unwrap(), &[]).unwrap();
        let file = FunctionsFile {
            path: "/data/functions.env".into(),
            changed: true,
        };

        let wait = || wait_for(Duration::ZERO, &host, &file, Announcements::silent());
        assert!(wait().await.is_ok(), "it is there");

        drop(listener);
        let error = wait().await.unwrap_err();
        assert!(error.is::<Unusable>(), "{error}");

        let expected = format!(
            "--functions: no answer from http://{address}; start cargo lambda watch --invoke-address 127.0.0.1 \
             --invoke-port {} --env-file /data/functions.env",
            address.port()
        );
        assert_eq!(error.to_string(), expected);
    }
}
