//! The averager's Lambda function: one invocation per Kafka batch.

use averager::event_text::EventText;
use averager::failure::BatchError;
use averager::handler::{deadline, handle};
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use shared::repository::ingest::Ingest;
use shared::{config, repository, telemetry};

// One thread: an invocation does one thing at a time, and for a small batch, moving it between
// threads costs more than its work.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = config::or_exit(config::Averager::from_environment());
    let ingest = &Ingest::new(repository::connect(&config.database.url, 1)?);

    let text = EventText::default();
    let serve = service_fn(|event: LambdaEvent<()>| {
        let text = text.take();
        async move {
            // Boxed, because the nested types of its futures exceed the compiler's recursion limit.
            let handled = Box::pin(handle(ingest, &text, deadline(event.context.deadline)));
            handled.await.inspect_err(log)
        }
    });

    Runtime::new(serve)
        .layer(text.clone())
        .layer(TracingLayer::new())
        .run()
        .await
}

fn log(error: &BatchError) {
    tracing::error!(%error, "batch not stored");
}
