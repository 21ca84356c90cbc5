//! Wires the API: configuration, clients, router, Lambda.

use std::sync::Arc;

use api::{Access, AppState, Keys, Observed};
use shared::config;
use shared::dead_letters::port::KafkaDeadLetters;
use shared::instruments::Instruments;
use shared::invocations::Invocations;
use shared::price_log::backlog::KafkaBacklog;
use shared::price_log::kafka::KafkaPriceLog;
use shared::provider::{Providers, Spellings};
use shared::repository::polling_jobs::JobLimits;
use shared::schedules::Schedules;
use shared::{repository, telemetry};

/// Most connections to Postgres. A Lambda instance answers one request at a time, and only lists of
/// `symbols` use several connections. They are few because Postgres serves many instances at once.
const MAX_CONNECTIONS: u32 = 2;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let config = config::or_exit(config::Api::from_environment());

    let db = repository::connect(&config.database.url, MAX_CONNECTIONS)?;
    let spellings: Arc<dyn Spellings> = Arc::new(Instruments::new(db.clone()));
    let state = AppState {
        providers: Providers::new(&config.providers).spelled_by(&spellings),
        db,
        price_log: Arc::new(KafkaPriceLog::new(&config.kafka)),
        dead_letters: Arc::new(KafkaDeadLetters::new(&config.kafka)),
        backlog: Arc::new(KafkaBacklog::new(
            &config.kafka,
            &config.kafka.price_topic,
            &config.averager_group,
        )),
        schedules: Schedules::from_config(&config.schedules),
        poller: Invocations::from_config(&config.invocations),
        polling_interval: config.polling_interval,
        job_limits: JobLimits {
            jobs: config.max_polling_jobs,
            symbols_per_job: config.max_symbols_per_job,
            symbols: config.max_polled_symbols,
        },
        relay_jobs: config.relay_jobs,
        cors_origins: config.cors_origins,
        access: Access::Keys(Keys::new(config.key_in_query)),
        asking_time: api::ASKING_TIME,
        observed: Observed::default(),
    };

    lambda_http::run(api::router(state)).await
}
