//! The invocation's event as it arrived, so that it is scanned once and never copied.
//!
//! The runtime deserialises an event before it calls the handler. Its most direct type for text,
//! `Box<RawValue>`, scans all of it and copies it, for megabytes in a full batch, and the averager
//! then reads it again. Instead, this layer takes the event's bytes aside and gives the runtime a
//! `null` to deserialise.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use lambda_runtime::tower::Layer;
use lambda_runtime::{LambdaInvocation, Service};

/// Holds the bytes of the present invocation's event. Clones share them. The runtime runs one
/// invocation at a time.
#[derive(Clone, Debug, Default)]
pub struct EventText(Arc<Mutex<Bytes>>);

impl EventText {
    /// Takes the event of the present invocation.
    #[must_use]
    pub fn take(&self) -> Bytes {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, event: Bytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = event;
    }
}

impl<S> Layer<S> for EventText {
    type Service = TakeAside<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TakeAside {
            inner,
            text: self.clone(),
        }
    }
}

/// Takes each event's bytes aside before the runtime deserialises it.
#[derive(Clone, Debug)]
pub struct TakeAside<S> {
    inner: S,
    text: EventText,
}

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for TakeAside<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        let event = mem::replace(&mut invocation.body, Bytes::from_static(b"null"));
        self.text.put(event);
        self.inner.call(invocation)
    }
}
