//! Upkeep: brings the schema up to date, makes and drops partitions, makes missing topics, and reconciles schedules
//! with jobs.
//!
//! A custom resource invokes it at deploy ([`custom_resource`]) and a schedule afterwards. Every task may run at any
//! time and any number of times, also twice at once.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use chrono::Utc;
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::Value;
use shared::config::{Kafka, Retention};
use shared::price_log::topics::ensure_topics;
use shared::repository::MIGRATOR;
use shared::schedules::{ScheduleError, Schedules};
use sqlx::PgPool;
use tracing::{error, info};

use crate::custom_resource::CustomResource;
use crate::growth::{Trimmed, trim};
use crate::reconciliation::{Mended, ReconciliationError, reconcile};

pub mod custom_resource;
pub mod growth;
pub mod reconciliation;

/// Partitions of the price topic: as many averagers can work at once.
const PRICE_PARTITIONS: i32 = 6;
/// Partitions of the dead-letter topic, which has next to no traffic.
const DEAD_LETTER_PARTITIONS: i32 = 1;
/// How often Postgres is tried before it counts as away; each try takes up to the pool's own limit.
const POSTGRES_TRIES: usize = 20;
/// Pause between the tries.
const POSTGRES_PAUSE: Duration = Duration::from_millis(500);
/// Longest that migrating takes, waiting for another one's migration included.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(120);

/// What upkeep works with.
#[derive(Clone, Debug)]
pub struct Upkeep {
    /// The database.
    pub pool: PgPool,
    /// The brokers and the topics they should have.
    pub kafka: Kafka,
    /// The schedules of the jobs.
    pub schedules: Schedules,
    /// How long things are kept.
    pub retention: Retention,
}

/// What an invocation did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The version that the schema now has.
    pub migrated: Option<i64>,
    /// Partitions made ahead of need.
    pub partitions_made: usize,
    /// Partitions dropped for their age.
    pub partitions_dropped: usize,
    /// Runs deleted for their age.
    pub runs_deleted: u64,
    /// Topics that were missing.
    pub topics_created: Vec<String>,
    /// Jobs that lacked their schedule.
    pub schedules_created: usize,
    /// Schedules that lacked their job.
    pub schedules_removed: usize,
}

/// The tasks that failed. The others were done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upkeep failed: {}", .0.join("; "))]
pub struct UpkeepError(pub Vec<String>);

impl From<UpkeepError> for Diagnostic {
    fn from(error: UpkeepError) -> Self {
        Self { error_type: "UpkeepFailed".to_owned(), error_message: error.to_string() }
    }
}

impl Upkeep {
    /// Does everything, unless a custom resource is being deleted; a custom resource gets its answer.
    ///
    /// # Errors
    /// When a task failed, or the answer could not be given.
    pub async fn handle(&self, event: &Value) -> Result<Summary, UpkeepError> {
        let Some(request) = CustomResource::of(event) else {
            return self.run().await;
        };
        let result = if request.is_deletion() { Ok(Summary::default()) } else { self.run().await };
        let answered = request.answer(&result).await;
        match (result, answered) {
            (Ok(summary), Ok(())) => Ok(summary),
            (Ok(_), Err(error)) => Err(UpkeepError(vec![error.to_string()])),
            (Err(error), _) => Err(error),
        }
    }

    async fn run(&self) -> Result<Summary, UpkeepError> {
        let topics = [
            (self.kafka.price_topic.as_str(), PRICE_PARTITIONS),
            (self.kafka.dead_letter_topic.as_str(), DEAD_LETTER_PARTITIONS),
        ];
        let now = Utc::now();
        let ((migrated, trimmed, mended), topics_created) = tokio::join!(
            async {
                let migrated = self.migrate().await;
                let trimmed = match migrated {
                    Ok(_) => trim(&self.pool, &self.retention, now).await,
                    // There may be nothing to trim; that the schema is not there is told already.
                    Err(_) => Ok(Trimmed::default()),
                };
                (migrated, trimmed, self.reconcile().await)
            },
            ensure_topics(&self.kafka, &topics),
        );
        let mut failures = Vec::new();
        let migrated = done("schema", migrated, &mut failures);
        let Trimmed { partitions_made, partitions_dropped, runs_deleted } =
            done("partitions", trimmed, &mut failures).unwrap_or_default();
        let topics_created = done("topics", topics_created, &mut failures).unwrap_or_default();
        let Mended { created, removed } = done("schedules", mended, &mut failures).unwrap_or_default();
        if !failures.is_empty() {
            return Err(UpkeepError(failures));
        }
        let summary = Summary {
            migrated,
            partitions_made,
            partitions_dropped,
            runs_deleted,
            topics_created,
            schedules_created: created,
            schedules_removed: removed,
        };
        info!(?summary, "upkeep done");
        Ok(summary)
    }

    /// Brings the schema up to date, once Postgres answers. The migrator's own lock makes two at once harmless.
    async fn migrate(&self) -> Result<i64, MigrationError> {
        let pause = ConstantBuilder::default().with_delay(POSTGRES_PAUSE).with_max_times(POSTGRES_TRIES);
        let connect = (|| self.pool.acquire()).retry(pause).when(|error| refusal(error).is_none());
        connect.await.map_err(|error| refusal(&error).unwrap_or(MigrationError::Unavailable))?;
        tokio::time::timeout(MIGRATION_TIMEOUT, MIGRATOR.run(&self.pool))
            .await
            .map_err(|_| MigrationError::TimedOut)??;
        Ok(MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0))
    }

    async fn reconcile(&self) -> Result<Mended, ReconciliationError> {
        reconcile(&self.pool, &self.schedules, Utc::now).await.inspect_err(|error| {
            if let ReconciliationError::Schedules(ScheduleError { action, reason }) = error {
                error!(action, reason, "EventBridge failed us");
            }
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum MigrationError {
    #[error("Postgres is not available")]
    Unavailable,
    #[error("Postgres refuses the user or the password in DATABASE_URL")]
    LoginRefused,
    #[error("Postgres has no database of the name in DATABASE_URL")]
    NoDatabase,
    #[error("migrating took longer than {} s", MIGRATION_TIMEOUT.as_secs())]
    TimedOut,
    #[error("a migration failed")]
    Failed(#[from] sqlx::migrate::MigrateError),
}

/// Why Postgres, though it is there, does not let us in: by its error codes 28 (authorization) and 3D (database).
fn refusal(error: &sqlx::Error) -> Option<MigrationError> {
    let code = error.as_database_error()?.code()?;
    match code.get(..2)? {
        "28" => Some(MigrationError::LoginRefused),
        "3D" => Some(MigrationError::NoDatabase),
        _ => None,
    }
}

/// The result of a task, or its failure among the others'. Causes are for the log.
fn done<T, E: std::error::Error>(task: &str, result: Result<T, E>, failures: &mut Vec<String>) -> Option<T> {
    result
        .inspect_err(|error| {
            let cause = error.source().map(ToString::to_string);
            error!(task, %error, cause, "task failed");
            failures.push(format!("{task}: {error}"));
        })
        .ok()
}
