//! The current function host. It can be replaced by one with other variables while invocations
//! continue.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::function_host::FunctionHost;
use crate::invoker::{InvokeError, Invoker, Outcome};

/// Passes each invocation to the host that is current when it arrives.
#[derive(Debug)]
pub(crate) struct CurrentHost(RwLock<Arc<FunctionHost>>);

impl CurrentHost {
    pub(crate) fn new(host: Arc<FunctionHost>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(host)))
    }

    pub(crate) fn get(&self) -> Arc<FunctionHost> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes `next` take all new invocations, then ends the previous host, which may finish its own
    /// within `grace`.
    pub(crate) async fn replace(&self, next: Arc<FunctionHost>, grace: Duration) {
        let previous = std::mem::replace(
            &mut *self.0.write().unwrap_or_else(PoisonError::into_inner),
            next,
        );

        previous.stop(grace).await;
    }
}

impl Invoker for CurrentHost {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>> {
        async move { self.get().invoke(function, payload).await }.boxed()
    }
}
