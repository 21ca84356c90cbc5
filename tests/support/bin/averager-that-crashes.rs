//! The averager, but killed by its own hand when a record has the key `CRASH`: a fault that the real one has no way to.
//!
//! The fault suite puts it in the averager's place to see such records isolated and their neighbours stored.

use averager::handler::{deadline, handle};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use shared::repository::ingest::Ingest;
use shared::{config, repository, telemetry};

/// `CRASH` as the event has it, in base64.
const CRASH: &str = r#""key":"Q1JBU0g=""#;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = config::or_exit(config::Averager::from_environment());
    let ingest = &Ingest::new(repository::connect(&config.database.url, 1)?);
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
        if event.payload.get().contains(CRASH) {
            std::process::abort();
        }
        handle(
            ingest,
            event.payload.get(),
            deadline(event.context.deadline),
        )
        .await
    }))
    .await
}
