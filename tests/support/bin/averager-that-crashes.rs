//! The averager, except that it aborts when a record has the key `CRASH`: a fault that the real one
//! cannot produce.
//!
//! The fault suite runs it in the averager's place to show that such records are isolated and their
//! neighbours stored.

use averager::handler::{deadline, handle};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use shared::repository::ingest::Ingest;
use shared::{config, repository, telemetry};

/// `CRASH` as it appears in the event, in base64.
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
