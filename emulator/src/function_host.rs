//! The function host: starts the function binaries as processes and serves Lambda's Runtime API to
//! them.
//!
//! Instances are started on demand, up to each function's concurrency. Each works on one request at
//! a time, and the most recently used idle one is taken first. All instances use one loopback
//! address, each under a base path of its own, so the host knows which one sends a request. An
//! instance that dies, or stops requesting its next event, is replaced when the next request needs
//! it. The processes that it started end with it.

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

/// What a host needs to run its functions.
#[derive(Clone, Debug)]
pub(crate) struct HostSettings {
    /// The functions it runs.
    pub(crate) functions: Vec<FunctionDefinition>,
    /// The directory of their binaries, each under the name of its definition.
    pub(crate) binary_directory: PathBuf,
    /// The directory of the process files of running instances, in which the next start finds
    /// leftovers.
    pub(crate) run_directory: PathBuf,
    /// Variables that replace those of the template.
    pub(crate) overrides: BTreeMap<String, String>,
    /// The most instances of a function that reserves no concurrency.
    pub(crate) max_instances: u32,
}

/// Runs functions and answers their invocations.
pub(crate) struct FunctionHost {
    address: SocketAddr,
    pools: Arc<BTreeMap<String, Arc<Pool>>>,
    instances: TaskTracker,
    server: AbortHandle,
}

impl FunctionHost {
    /// Opens the Runtime API on a free loopback port. No instance is started until one is needed.
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
            // Otherwise a large answer may wait for the acknowledgement of its first packet.
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

    /// The address of the Runtime API.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes sure that an instance of `function` is ready. Starts one if there is none.
    pub(crate) async fn warm(&self, function: &str) -> anyhow::Result<()> {
        let pool = self
            .pools
            .get(function)
            .with_context(|| format!("there is no function {function}"))?;
        pool.warm().await
    }

    /// Accepts no new work, ends the functions, and returns when all of them have ended.
    ///
    /// Idle instances end at once. Busy ones may finish their answer within `grace`: those that
    /// registered to handle SIGTERM get it now, the others after their answer. Instances that
    /// remain after `grace` are killed.
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

        // Last: busy instances post their answers to it.
        self.server.abort();
    }

    fn pool(&self, function: &str) -> Result<&Arc<Pool>, InvokeError> {
        self.pools
            .get(function)
            .ok_or_else(|| InvokeError::NoSuchFunction(function.to_owned()))
    }

    /// The function name and process id of each running instance.
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
        async move { self.pool(function)?.invoke(payload, None).await }.boxed()
    }

    fn invoke_for<'a>(
        &'a self,
        caller: usize,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>> {
        async move { self.pool(function)?.invoke(payload, Some(caller)).await }.boxed()
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
