//! The upkeep function: invoked at deploy, and regularly from then on.

use std::sync::Arc;

use chrono::Utc;
use futures::future::BoxFuture;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use shared::schedules::Schedules;
use shared::{config, repository, telemetry};
use upkeep::Upkeep;
use upkeep::metrics::Metrics;
use upkeep::time::Time;

/// Connections to Postgres: tasks run one after another, and migrating takes a connection of its
/// own.
const CONNECTIONS: u32 = 2;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = config::or_exit(config::Upkeep::from_environment());

    let metrics_of = |function| {
        Arc::new(Metrics::new(
            function,
            &config.kafka,
            &config.averager_group,
        ))
    };
    let upkeep = Upkeep {
        metrics: config.metrics_of.map(metrics_of),
        pool: repository::connect(&config.database.url, CONNECTIONS)?,
        schedules: Schedules::from_config(&config.schedules),
        relay_jobs: config.relay_jobs,
        kafka: config.kafka,
        retention: config.retention,
        topic_retention: config.topic_retention,
        first_key: config.first_key,
    };

    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let upkeep = upkeep.clone();
        // Boxed, because the nested types of its futures exceed the compiler's recursion limit.
        let handling: BoxFuture<'_, _> = Box::pin(async move {
            let time = Time::before(event.context.deadline, Utc::now());
            upkeep.handle(&event.payload, time).await
        });
        handling
    }))
    .await
}
