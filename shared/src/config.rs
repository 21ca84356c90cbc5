//! Configuration: the only place that reads environment variables.
//!
//! Each function has its own type with just what it needs; `.env.example` explains every variable. All faults are
//! reported at once, one line each, and no value that may hold a secret is shown.

use std::fmt;
use std::time::Duration;

use crate::market::ProviderName;

mod environment;
mod security;

use environment::Environment;
pub use security::{KafkaSecurity, Login, Tls};

/// Postgres.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// `postgres://user:password@host:5432/database`; holds the password.
    pub url: String,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("url", &"(hidden)").finish()
    }
}

/// Kafka and its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// How they are spoken to.
    pub security: KafkaSecurity,
    /// Topic of the price events.
    pub price_topic: String,
    /// Topic of the records that the averager could not take.
    pub dead_letter_topic: String,
}

/// Where prices come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Providers {
    /// The provider asked where a request names none; always one of [`crate::provider::NAMES`].
    pub default: ProviderName,
    /// Scheme, host and port of Yahoo's API.
    pub yahoo_base_url: String,
    /// What we call ourselves towards Yahoo, which refuses clients without a name.
    pub yahoo_user_agent: String,
    /// How long each recorded price lasts in a replay; whole seconds.
    pub replay_step: Duration,
}

/// EventBridge schedules that invoke the poller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedules {
    /// The schedule group of the polling jobs.
    pub group: String,
    /// The poller's ARN.
    pub target_arn: String,
    /// The role in which EventBridge invokes it.
    pub role_arn: String,
}

/// How long things are kept, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Price points; for ever if none.
    pub points_days: Option<u32>,
    /// Raw responses.
    pub raw_responses_days: u32,
    /// Records of the ticks of jobs.
    pub runs_days: u32,
    /// Events that were rejected.
    pub rejected_days: u32,
}

/// How long the topics that upkeep makes keep their records, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicRetention {
    /// Price events.
    pub prices_days: u32,
    /// Dead letters.
    pub dead_letters_days: u32,
}

/// Configuration of the api function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Postgres.
    pub database: Database,
    /// Kafka.
    pub kafka: Kafka,
    /// Where prices come from.
    pub providers: Providers,
    /// Where schedules are made.
    pub schedules: Schedules,
    /// Seconds between the ticks of a job that names no interval.
    pub polling_interval: u32,
    /// Most jobs whose interval is not a whole number of minutes: each keeps a poller busy.
    pub max_relay_jobs: u32,
    /// The averager's consumer group on the price topic.
    pub averager_group: String,
    /// Origins besides the API's own whose pages may send requests, as browsers write them.
    pub allowed_origins: Vec<String>,
}

/// Configuration of the poller function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poller {
    /// Postgres.
    pub database: Database,
    /// Kafka.
    pub kafka: Kafka,
    /// Where prices come from.
    pub providers: Providers,
}

/// Configuration of the averager function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Averager {
    /// Postgres.
    pub database: Database,
}

/// Configuration of the upkeep function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// Postgres.
    pub database: Database,
    /// Kafka.
    pub kafka: Kafka,
    /// Schedules to reconcile with the jobs.
    pub schedules: Schedules,
    /// How long things are kept.
    pub retention: Retention,
    /// How long topics keep their records.
    pub topic_retention: TopicRetention,
    /// The averager's consumer group on the price topic.
    pub averager_group: String,
    /// The function's name, under which it tells metrics to `CloudWatch`; none where nobody reads them.
    pub metrics_of: Option<String>,
}

/// Configuration of the command that sends dead letters back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// Kafka.
    pub kafka: Kafka,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Filter directives as `tracing` knows them: `info`, `info,shared=debug`.
    pub filter: String,
    /// One JSON object per line, as Lambda's JSON log format wants it, rather than text.
    pub json: bool,
}

/// What is wrong with the configuration: one line per variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// Gives a configuration its two constructors: from a lookup, and from the process's own environment.
macro_rules! read_from_environment {
    ($type:ident { $($field:ident: $method:ident),+ $(,)? }) => {
        impl $type {
            /// Reads the configuration from `lookup`, which gives a variable's value.
            ///
            /// # Errors
            /// Every missing or malformed variable.
            pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
                let mut environment = Environment::new(lookup);
                let config = Self { $($field: environment.$method()),+ };
                environment.finish(config)
            }

            /// Reads the configuration from the process's environment.
            ///
            /// # Errors
            /// Every missing or malformed variable.
            pub fn from_environment() -> Result<Self, ConfigError> {
                Self::from_lookup(&environment::process_variable)
            }
        }
    };
}

read_from_environment!(Api {
    database: database,
    kafka: kafka,
    providers: providers,
    schedules: schedules,
    polling_interval: polling_interval,
    max_relay_jobs: max_relay_jobs,
    averager_group: averager_group,
    allowed_origins: allowed_origins,
});
read_from_environment!(Poller { database: database, kafka: kafka, providers: providers });
read_from_environment!(Averager { database: database });
read_from_environment!(Upkeep {
    database: database,
    kafka: kafka,
    schedules: schedules,
    retention: retention,
    topic_retention: topic_retention,
    averager_group: averager_group,
    metrics_of: metrics_of,
});
read_from_environment!(Redrive { kafka: kafka });
read_from_environment!(Logging { filter: log_filter, json: log_json });

/// The configuration, or the end of the process: its faults on stderr and exit status 2.
#[expect(
    clippy::print_stderr,
    reason = "the faults are for whoever started the process; logging may not stand yet"
)]
pub fn or_exit<T>(result: Result<T, ConfigError>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2)
    })
}

#[cfg(test)]
mod tests;
