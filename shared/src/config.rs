//! Configuration: the only place that reads environment variables.
//!
//! Each function has its own type with only what it needs; `.env.example` explains every variable.
//! All faults are reported together, one line each, and no value that may hold a secret is shown.

use std::fmt;
use std::time::Duration;

use crate::access::FirstKey;
use crate::market::ProviderList;
use crate::provider::Limits;

mod environment;
mod secret;
mod security;

use environment::Environment;
pub use environment::MOST_SYMBOLS_PER_JOB;
pub use secret::Secret;
pub use security::{KafkaSecurity, Login, Tls};

/// The connection to Postgres.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// `postgres://user:password@host:5432/database`; holds the password.
    pub url: String,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &"(hidden)")
            .finish()
    }
}

/// The connection to Kafka, and its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// Addresses of brokers: `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Encryption and authentication of the connections.
    pub security: KafkaSecurity,
    /// Topic of the price events.
    pub price_topic: String,
    /// Topic of the records that the averager could not process.
    pub dead_letter_topic: String,
}

/// Where prices come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSettings {
    /// The providers that are asked, in this order, when a request names none; all of them are of
    /// [`crate::provider::NAMES`].
    pub default: ProviderList,
    /// Whether the next provider of a list is asked for a symbol that one does not know.
    pub fallback_on_unknown_symbol: bool,
    /// Yahoo's API.
    pub yahoo: Source,
    /// The `User-Agent` sent to Yahoo, which refuses clients without one.
    pub yahoo_user_agent: String,
    /// Finnhub's API.
    pub finnhub: Source,
    /// Twelve Data's API.
    pub twelve_data: Source,
    /// Alpha Vantage's API.
    pub alpha_vantage: Source,
    /// Tiingo's API.
    pub tiingo: Source,
    /// Coinbase Exchange's API.
    pub coinbase: Source,
    /// Kraken's API.
    pub kraken: Source,
    /// Binance's API for market data.
    pub binance: Source,
    /// How long each recorded price lasts in a replay, in whole seconds.
    pub replay_step: Duration,
    /// URL of the proxy through which all providers are asked; it may hold a password.
    pub proxy: Option<Secret>,
}

/// The API of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Scheme, host and port, and a path if the API is below one.
    pub base_url: String,
    /// The key, if the provider takes one and it is set.
    pub key: Option<Secret>,
    /// The variable of the key, if the provider needs one and it is not set.
    pub needs: Option<&'static str>,
    /// What the provider allows.
    pub limits: Limits,
}

/// EventBridge schedules that invoke the poller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleSettings {
    /// The schedule group of the polling jobs.
    pub group: String,
    /// The poller's ARN.
    pub target_arn: String,
    /// The role in which EventBridge invokes it.
    pub role_arn: String,
}

/// How the API invokes the poller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationSettings {
    /// The poller's ARN.
    pub function_arn: String,
    /// Where Lambda's API is, if not at AWS.
    pub endpoint: Option<String>,
}

/// How long stored data is kept, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Price points; `None` keeps them for ever.
    pub points_days: Option<u32>,
    /// Raw responses.
    pub raw_responses_days: u32,
    /// Records of the ticks of jobs.
    pub runs_days: u32,
    /// Rejected events.
    pub rejected_days: u32,
}

/// How long the topics that upkeep creates keep their records, in days.
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
    /// The connection to Postgres.
    pub database: Database,
    /// The connection to Kafka.
    pub kafka: Kafka,
    /// Where prices come from.
    pub providers: ProviderSettings,
    /// Where the schedules of jobs are created.
    pub schedules: ScheduleSettings,
    /// How the poller is invoked for runs that requests ask for.
    pub invocations: InvocationSettings,
    /// Seconds between the ticks of a job whose request names no interval.
    pub polling_interval: u32,
    /// Most polling jobs.
    pub max_polling_jobs: u32,
    /// Most symbols of one polling job.
    pub max_symbols_per_job: u32,
    /// Most symbols of all polling jobs together.
    pub max_polled_symbols: u32,
    /// Most jobs of one relay. It serves those whose interval is not a whole number of minutes.
    pub relay_jobs: u32,
    /// The averager's consumer group on the price topic.
    pub averager_group: String,
    /// Origins, besides the API's own, whose pages may send requests and read the answers; spelled as
    /// browsers do.
    pub cors_origins: Vec<String>,
    /// Whether a key of scope read may come as the query parameter `key`.
    pub key_in_query: bool,
}

/// Configuration of the poller function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poller {
    /// The connection to Postgres.
    pub database: Database,
    /// The connection to Kafka.
    pub kafka: Kafka,
    /// Where prices come from.
    pub providers: ProviderSettings,
    /// Most jobs of one relay.
    pub relay_jobs: u32,
}

/// Configuration of the averager function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Averager {
    /// The connection to Postgres.
    pub database: Database,
}

/// Configuration of the upkeep function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// The connection to Postgres.
    pub database: Database,
    /// The connection to Kafka.
    pub kafka: Kafka,
    /// The schedules to reconcile with the jobs.
    pub schedules: ScheduleSettings,
    /// Most jobs of one relay.
    pub relay_jobs: u32,
    /// How long stored data is kept.
    pub retention: Retention,
    /// How long topics keep their records.
    pub topic_retention: TopicRetention,
    /// The averager's consumer group on the price topic.
    pub averager_group: String,
    /// The function's name, under which `CloudWatch` gets its metrics; `None` if nothing reads
    /// them.
    pub metrics_of: Option<String>,
    /// What is stored of the first key of the HTTP API, if the deployment names one.
    pub first_key: Option<FirstKey>,
}

/// Configuration of the command that loads and lists how providers spell symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruments {
    /// The connection to Postgres.
    pub database: Database,
}

/// Configuration of the command that makes, lists and revokes API keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The connection to Postgres.
    pub database: Database,
}

/// Configuration of the command that exports series to files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The connection to Postgres.
    pub database: Database,
}

/// Configuration of the command that proves stored averages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// The connection to Postgres.
    pub database: Database,
}

/// Configuration of the command that sends dead letters back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The connection to Kafka.
    pub kafka: Kafka,
}

/// What is logged, and in which format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Filter directives in the syntax of `tracing`: `info`, `info,shared=debug`.
    pub filter: String,
    /// Whether to log one JSON object per line, which is Lambda's JSON log format, rather than
    /// text.
    pub json: bool,
}

/// The faults of the configuration, one line per variable.
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

/// Gives a configuration its two constructors: from a lookup, and from the process's environment.
macro_rules! read_from_environment {
    ($type:ident { $($field:ident: $method:ident),+ $(,)? }) => {
        impl $type {
            /// Reads the configuration from `lookup`, which returns a variable's value.
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
    invocations: invocations,
    polling_interval: polling_interval,
    max_polling_jobs: max_polling_jobs,
    max_symbols_per_job: max_symbols_per_job,
    max_polled_symbols: max_polled_symbols,
    relay_jobs: relay_jobs,
    averager_group: averager_group,
    cors_origins: cors_origins,
    key_in_query: key_in_query,
});
read_from_environment!(Poller {
    database: database,
    kafka: kafka,
    providers: providers,
    relay_jobs: relay_jobs,
});
read_from_environment!(Averager { database: database });
read_from_environment!(Upkeep {
    database: database,
    kafka: kafka,
    schedules: schedules,
    relay_jobs: relay_jobs,
    retention: retention,
    topic_retention: topic_retention,
    averager_group: averager_group,
    metrics_of: metrics_of,
    first_key: first_key,
});
read_from_environment!(Export { database: database });
read_from_environment!(Keys { database: database });
read_from_environment!(Verify { database: database });
read_from_environment!(Instruments { database: database });
read_from_environment!(Redrive { kafka: kafka });
read_from_environment!(Logging {
    filter: log_filter,
    json: log_json
});

/// Returns the configuration, or reports its faults on stderr and exits with status 2.
#[expect(
    clippy::print_stderr,
    reason = "the errors are for the person who started the process; logging may not be set up yet"
)]
pub fn or_exit<T>(result: Result<T, ConfigError>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2)
    })
}

#[cfg(test)]
mod tests;
