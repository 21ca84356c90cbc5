//! The averager's Lambda function: one invocation per Kafka batch.

use averager::failure::BatchError;
use averager::handler::{deadline, handle};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use shared::repository::ingest::Ingest;
use shared::{config, repository, telemetry};

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = config::or_exit(config::Averager::from_environment());
    let ingest = &Ingest::new(repository::connect(&config.database.url, 1)?);

    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
        // Boxed, because the nested types of its futures exceed the compiler's recursion limit.
        let handled = Box::pin(handle(
            ingest,
            event.payload.get(),
            deadline(event.context.deadline),
        ));
        handled.await.inspect_err(log)
    }))
    .await
}

fn log(error: &BatchError) {
    tracing::error!(%error, "batch not stored");
}
