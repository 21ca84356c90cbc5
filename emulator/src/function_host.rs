//! The function host: starts the function binaries as processes and speaks Lambda's Runtime API to them.
//!
//! Instances are started on demand, up to each function's concurrency, one request at a time each; the most recently
//! used one is taken first. All of them ask for work at one loopback address, each under a base path of its own, so
//! the host knows who asks. An instance that dies, or does not ask for work any more, is replaced when the next request
//! needs it; the processes that it started end with it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::serve::ListenerExt as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::invoker::{InvokeError, Invoker, Outcome};
use crate::template::FunctionDefinition;

mod asking;
pub(crate) mod environment;
pub(crate) mod failure;
mod family;
mod instance;
pub(crate) mod leftovers;
pub(crate) mod liveness;
mod log_lines;
mod pool;
mod process;
mod runtime_api;

use pool::Pool;
use process::Launcher;

/// What a host is given.
#[derive(Clone, Debug)]
pub(crate) struct HostSettings {
    /// The functions it runs.
    pub(crate) functions: Vec<FunctionDefinition>,
    /// Where their binaries lie, each under the name of its definition.
    pub(crate) binary_directory: PathBuf,
    /// Where the process files of running instances are kept, for the next start to find leftovers.
    pub(crate) run_directory: PathBuf,
    /// Variables that stand above those of the template.
    pub(crate) overrides: BTreeMap<String, String>,
    /// Most instances of a function that reserves no concurrency.
    pub(crate) max_instances: u32,
}

/// Runs functions and answers invocations.
pub(crate) struct FunctionHost {
    address: SocketAddr,
    pools: Arc<BTreeMap<String, Arc<Pool>>>,
    instances: TaskTracker,
    server: AbortHandle,
}

impl FunctionHost {
    /// Opens the Runtime API on a free loopback port. No instance is started before somebody needs one.
    pub(crate) async fn start(settings: HostSettings) -> anyhow::Result<Arc<Self>> {
        std::fs::create_dir_all(&settings.run_directory)
            .with_context(|| format!("cannot create {}", settings.run_directory.display()))?;
        let binary_directory =
            std::fs::canonicalize(&settings.binary_directory).with_context(|| {
                format!("there is no folder {}", settings.binary_directory.display())
            })?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot open the Runtime API")?;
        let address = listener.local_addr()?;
        let launcher = Arc::new(Launcher {
            address,
            binary_directory,
            run_directory: settings.run_directory,
            overrides: settings.overrides,
        });
        let instances = TaskTracker::new();
        let pools = settings
            .functions
            .into_iter()
            .enumerate()
            .map(|(index, function)| {
                let limit = function
                    .reserved_concurrency
                    .unwrap_or(settings.max_instances);
                let name = function.name.clone();
                (
                    name,
                    Pool::new(
                        function,
                        index,
                        limit,
                        Arc::clone(&launcher),
                        instances.clone(),
                    ),
                )
            });
        let pools = Arc::new(pools.collect::<BTreeMap<_, _>>());
        let listener = listener.tap_io(|stream| {
            // Without it a large answer may wait for the acknowledgement of its first packet.
            let _ = stream.set_nodelay(true);
        });
        let api = axum::serve(listener, runtime_api::router(Arc::clone(&pools)));
        let server = tokio::spawn(api.into_future()).abort_handle();
        Ok(Arc::new(Self {
            address,
            pools,
            instances,
            server,
        }))
    }

    /// Where the Runtime API listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes sure that an instance of `function` is ready, starting one if there is none.
    pub(crate) async fn warm(&self, function: &str) -> anyhow::Result<()> {
        let pool = self
            .pools
            .get(function)
            .with_context(|| format!("there is no function {function}"))?;
        pool.warm().await
    }

    /// Takes no new work, ends the functions, and returns when all of them are gone.
    ///
    /// Idle instances end at once. Busy ones may finish their answer within `grace`; those that said they handle
    /// SIGTERM get it now, the others after their answer. What is left after `grace` is killed.
    pub(crate) async fn stop(&self, grace: Duration) {
        for pool in self.pools.values() {
            pool.stop();
        }
        self.instances.close();
        if tokio::time::timeout(grace, self.instances.wait())
            .await
            .is_err()
        {
            for pool in self.pools.values() {
                pool.kill_all();
            }
            self.instances.wait().await;
        }
        self.server.abort();
    }

    /// The running instances: function and process id.
    pub(crate) fn instances(&self) -> Vec<(String, u32)> {
        let of_pool = |(name, pool): (&String, &Arc<Pool>)| {
            pool.process_ids()
                .into_iter()
                .map(|pid| (name.clone(), pid))
                .collect::<Vec<_>>()
        };
        self.pools.iter().flat_map(of_pool).collect()
    }
}

impl Invoker for FunctionHost {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>> {
        async move {
            let pool = self
                .pools
                .get(function)
                .ok_or_else(|| InvokeError::NoSuchFunction(function.to_owned()))?;
            pool.invoke(payload).await
        }
        .boxed()
    }
}

impl fmt::Debug for FunctionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instances = self.instances();
        f.debug_struct("FunctionHost")
            .field("address", &self.address)
            .field("instances", &instances)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
