//! Where the functions run: in processes of this emulator, or at another host.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::connectivity;
use super::current_host::CurrentHost;
use super::prepare::Addresses;
use crate::function_host::FunctionHost;
use crate::invoker::Invoker;
use crate::remote_host::{BUILD, RemoteHost};

/// The functions, as the rest of the stack needs to know them.
#[derive(Clone, Debug)]
pub(super) enum Functions {
    /// Processes of this emulator.
    Own(Arc<CurrentHost>),
    /// Run by another host, and invoked over HTTP.
    Elsewhere(Arc<RemoteHost>),
}

impl Functions {
    /// Invokes them, wherever they run.
    pub(super) fn invoker(&self) -> Arc<dyn Invoker> {
        match self {
            Self::Own(host) => Arc::<CurrentHost>::clone(host),
            Self::Elsewhere(host) => Arc::<RemoteHost>::clone(host),
        }
    }

    /// How long to wait for them, if `usual` is enough for functions that are built: another host
    /// may build them first.
    pub(super) fn patience(&self, usual: Duration) -> Duration {
        match self {
            Self::Own(_) => usual,
            Self::Elsewhere(_) => usual.max(BUILD),
        }
    }

    /// Why they may not succeed, in words.
    pub(super) async fn trouble(&self, addresses: &Addresses) -> String {
        let Self::Elsewhere(host) = self else {
            return connectivity::describe(addresses).await;
        };

        let url = host.url();
        if !host.takes_connections().await {
            return format!("no answer from {url} (--functions)");
        }

        match connectivity::of(addresses).await {
            Some(away) => away,
            None => format!(
                "the host at {url} builds a function when it is first invoked; see its output for errors"
            ),
        }
    }

    /// Ends functions that are this emulator's, within `grace`, or at once on `hurry`. Leaves those
    /// elsewhere running.
    pub(super) async fn stop(&self, grace: Duration, hurry: &CancellationToken) {
        match self {
            Self::Own(host) => {
                let host: Arc<FunctionHost> = host.get();

                tokio::select! {
                    () = host.stop(grace) => {}
                    () = hurry.cancelled() => host.stop(Duration::ZERO).await,
                }
            }
            Self::Elsewhere(host) => host.stop(),
        }
    }
}
