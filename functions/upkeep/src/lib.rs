//! Upkeep: migrates the schema, creates and drops partitions, creates missing topics, and
//! reconciles schedules with jobs.
//!
//! A custom resource invokes it at deploy ([`custom_resource`]), and a schedule afterwards. Every
//! task may run at any time and any number of times, also concurrently.

use std::convert::Infallible;
use std::sync::{Arc, Once};

use chrono::Utc;
use serde::Serialize;
use serde_json::Value;
use shared::access::FirstKey;
use shared::config::{Kafka, Retention, TopicRetention};
use shared::price_log::topics::{Ensured, Topic, ensure_topics};
use shared::repository::part_states::{self, Part};
use shared::repository::{self, api_keys, clock, series};
use shared::schedules::{ScheduleError, Schedules};
use sqlx::PgPool;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::custom_resource::CustomResource;
use crate::failure::{Failure, Failures, UpkeepError};
use crate::growth::Trimmed;
use crate::metrics::Metrics;
use crate::reconciliation::{Mended, ReconciliationError, reconcile};
use crate::time::{TELLING, Time, Undone};

pub mod custom_resource;
pub mod failure;
pub mod growth;
pub mod metrics;
pub mod reconciliation;
pub mod relays;
mod schema;
pub mod time;

/// Partitions of the price topic, and so the most averagers that run at once.
const PRICE_PARTITIONS: i32 = 6;
/// Partitions of the dead-letter topic, which has very little traffic.
const DEAD_LETTER_PARTITIONS: i32 = 1;

/// Upkeep's dependencies and settings.
#[derive(Clone, Debug)]
pub struct Upkeep {
    /// The database.
    pub pool: PgPool,
    /// The brokers and the topics they should have.
    pub kafka: Kafka,
    /// The schedules of the jobs.
    pub schedules: Schedules,
    /// Most jobs of one relay.
    pub relay_jobs: u32,
    /// How long stored data is kept.
    pub retention: Retention,
    /// How long the topics that it creates keep their records.
    pub topic_retention: TopicRetention,
    /// What is stored of the first key of the HTTP API, if the deployment names one.
    pub first_key: Option<FirstKey>,
    /// Writes metrics for `CloudWatch`; `None` if nothing reads them.
    pub metrics: Option<Arc<Metrics>>,
}

/// The result of an invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The current version of the schema.
    pub migrated: Option<i64>,
    /// Partitions created, and data removed for its age.
    #[serde(flatten)]
    pub trimmed: Trimmed,
    /// Topics that were missing and are created.
    pub topics_created: Vec<String>,
    /// Where existing topics are weaker than those that upkeep creates.
    pub topics_weaker: Vec<String>,
    /// Jobs whose schedule was missing.
    pub schedules_created: usize,
    /// Schedules that differed from their job's.
    pub schedules_repaired: usize,
    /// Schedules whose job was missing.
    pub schedules_removed: usize,
}

impl Upkeep {
    /// Runs all tasks, as far as there is time, unless a custom resource is being deleted. A
    /// custom resource gets an answer in every case.
    ///
    /// # Errors
    /// When a task failed or ran out of time, or the answer could not be delivered.
    pub async fn handle(&self, event: &Value, time: Time) -> Result<Summary, UpkeepError> {
        let Some(request) = CustomResource::of(event) else {
            return self.run(time).await;
        };

        let result = if request.is_deletion() {
            Ok(Summary::default())
        } else {
            self.run(time).await
        };
        let answered = request.answer(&result).await;

        match (result, answered) {
            (Ok(summary), Ok(())) => Ok(summary),
            (Ok(_), Err(error)) => {
                let (task, reason) = ("answer".to_owned(), error.to_string());
                Err(UpkeepError(vec![Failure { task, reason }]))
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn run(&self, time: Time) -> Result<Summary, UpkeepError> {
        let topics = self.topics();
        let (mut summary, mut failures) = (Summary::default(), Failures::default());

        let (_, topics) = tokio::join!(
            self.look_after_stored(time, &mut summary, &mut failures),
            time.share(ensure_topics(&self.kafka, &topics)),
        );

        let Ensured {
            created,
            shortcomings,
        } = failures.done("topics", topics).unwrap_or_default();
        warn_once(&shortcomings);
        (summary.topics_created, summary.topics_weaker) = (created, shortcomings);

        let result = if failures.0.is_empty() {
            Ok(summary)
        } else {
            Err(UpkeepError(failures.0))
        };

        self.note(&result).await;
        if let Some(metrics) = &self.metrics {
            metrics.tell(&self.pool, result.is_ok()).await;
        }

        result.inspect(|summary| info!(?summary, "upkeep done"))
    }

    fn topics(&self) -> [Topic<'_>; 2] {
        let TopicRetention {
            prices_days,
            dead_letters_days,
        } = self.topic_retention;

        let prices = Topic {
            name: &self.kafka.price_topic,
            partitions: PRICE_PARTITIONS,
            retention_days: prices_days,
            bounds_times: true,
        };
        // A dead letter keeps the timestamp of its record.
        let dead_letters = Topic {
            name: &self.kafka.dead_letter_topic,
            partitions: DEAD_LETTER_PARTITIONS,
            retention_days: dead_letters_days,
            bounds_times: false,
        };

        [prices, dead_letters]
    }

    /// Does what concerns Postgres, one task after another.
    async fn look_after_stored(&self, time: Time, summary: &mut Summary, failures: &mut Failures) {
        self.look_after_postgres(time, summary, failures).await;

        // Without its table the key cannot be stored; the failed migration is already recorded.
        if let (Some(first), Some(_)) = (&self.first_key, summary.migrated) {
            let added = api_keys::add_first(&self.pool, first);
            failures.done("first key", time.share(added).await);
        }
    }

    /// Migrates the schema, creates and drops partitions, and reconciles schedules, one task after
    /// another.
    async fn look_after_postgres(
        &self,
        time: Time,
        summary: &mut Summary,
        failures: &mut Failures,
    ) {
        summary.migrated = failures.done("schema", time.all(schema::migrate(&self.pool)).await);

        // Without tables there is nothing more to do; the failed migration is already recorded.
        if summary.migrated.is_some() || time.share(series::check(&self.pool)).await.is_ok() {
            let growth = async {
                self.look_after_growth(&mut summary.trimmed, failures).await;
                Ok::<_, Infallible>(())
            };
            let grown = time.share(growth).await;
            failures.done("partitions and retention", grown);
        }

        let relays = relays::maintain(&self.pool, self.relay_jobs);
        failures.done("relays", time.share(relays).await);

        let mended = time
            .share(reconcile(&self.pool, &self.schedules, Utc::now))
            .await;
        if let Err(Undone::Failed(ReconciliationError::Schedules(ScheduleError {
            action,
            reason,
        }))) = &mended
        {
            error!(action, reason, "EventBridge Scheduler did not {action}");
        }

        let Mended {
            created,
            repaired,
            removed,
        } = failures.done("schedules", mended).unwrap_or_default();
        summary.schedules_created = created;
        summary.schedules_repaired = repaired;
        summary.schedules_removed = removed;
    }

    /// Creates partitions, and drops old data only if our clock and Postgres's agree.
    async fn look_after_growth(&self, trimmed: &mut Trimmed, failures: &mut Failures) {
        let ours = Utc::now();
        let Some(postgres) = failures.done("clocks", clock::now(&self.pool).await) else {
            return;
        };

        growth::make_ahead(&self.pool, ours.min(postgres), trimmed, failures).await;

        if let Some(now) = failures.done("clocks", growth::agreed_time(ours, postgres)) {
            growth::trim(&self.pool, &self.retention, now, trimmed, failures).await;
        }
    }

    /// Records the result of the run, for `GET /health`. If that fails, Postgres is unavailable,
    /// which `GET /health` shows anyway.
    async fn note(&self, result: &Result<Summary, UpkeepError>) {
        let note = async {
            match result {
                Ok(_) => part_states::succeeded(&self.pool, Part::Upkeep).await,
                Err(error) => part_states::failed(&self.pool, Part::Upkeep, &error.tasks()).await,
            }
        };

        let noted = timeout(TELLING, note).await;
        if let Err(error) = noted.unwrap_or_else(|_| Err(repository::Error::unanswered())) {
            warn!(%error, "the result of this run could not be recorded");
        }
    }
}

/// Warns once per instance: this is not a failure, and does not change until an operator changes
/// the topics.
fn warn_once(shortcomings: &[String]) {
    static TOLD: Once = Once::new();
    if !shortcomings.is_empty() {
        TOLD.call_once(|| {
            warn!(
                ?shortcomings,
                "topics are weaker than upkeep would make them; kafka-configs changes them"
            );
        });
    }
}
