//! The function host of the moment, so that functions can get other variables without anybody noticing.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::function_host::FunctionHost;
use crate::invoker::{InvokeError, Invoker, Outcome};

/// Passes invocations to the host that is current when they come.
#[derive(Debug)]
pub(crate) struct CurrentHost(RwLock<Arc<FunctionHost>>);

impl CurrentHost {
    pub(crate) fn new(host: Arc<FunctionHost>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(host)))
    }

    pub(crate) fn get(&self) -> Arc<FunctionHost> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets `next` take all new invocations, and ends the host before it once it has answered its own.
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
