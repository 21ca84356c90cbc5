//! The environment, read once. No other module of the emulator reads it.

use std::collections::BTreeMap;

use reqwest::Url;

use crate::database_url::{USUAL_NAME, url_at};
use crate::topic_name::{self, is_topic_name};
use crate::visitors::AllowedHosts;

/// Variables that the functions understand, besides those that the template names.
const PASSED_ON: [&str; 44] = [
    "KAFKA_PRICE_TOPIC",
    "KAFKA_DEAD_LETTER_TOPIC",
    "POLLING_INTERVAL",
    "CORS_ORIGINS",
    "API_KEY_IN_QUERY",
    "FIRST_ADMIN_KEY",
    "AVERAGER_GROUP",
    "DEFAULT_PROVIDER",
    "FALLBACK_ON_UNKNOWN_SYMBOL",
    "FINNHUB_API_KEY",
    "TWELVE_DATA_API_KEY",
    "ALPHA_VANTAGE_API_KEY",
    "TIINGO_API_KEY",
    "YAHOO_BASE_URL",
    "FINNHUB_BASE_URL",
    "TWELVE_DATA_BASE_URL",
    "ALPHA_VANTAGE_BASE_URL",
    "TIINGO_BASE_URL",
    "COINBASE_BASE_URL",
    "KRAKEN_BASE_URL",
    "BINANCE_BASE_URL",
    "YAHOO_LIMITS",
    "FINNHUB_LIMITS",
    "TWELVE_DATA_LIMITS",
    "ALPHA_VANTAGE_LIMITS",
    "TIINGO_LIMITS",
    "COINBASE_LIMITS",
    "KRAKEN_LIMITS",
    "BINANCE_LIMITS",
    "PROVIDER_PROXY",
    "YAHOO_USER_AGENT",
    "REPLAY_STEP_SECONDS",
    "MAX_POLLING_JOBS",
    "MAX_SYMBOLS_PER_JOB",
    "MAX_POLLED_SYMBOLS",
    "RELAY_JOBS",
    "POINTS_RETENTION_DAYS",
    "RAW_RESPONSES_RETENTION_DAYS",
    "RUNS_RETENTION_DAYS",
    "REJECTED_RETENTION_DAYS",
    "PRICE_TOPIC_RETENTION_DAYS",
    "DEAD_LETTER_RETENTION_DAYS",
    "RUST_LOG",
    "RUST_BACKTRACE",
];

/// A variable that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} must be {expected}")]
pub(crate) struct InvalidVariable {
    variable: &'static str,
    expected: &'static str,
}

/// The emulator's settings, from the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// A Postgres of the user's own, from `DATABASE_URL` or `POSTGRES_HOST`.
    pub(crate) database_url: Option<Url>,
    /// A Kafka of the user's own.
    pub(crate) bootstrap_servers: Option<String>,
    /// Another scheduler than the emulator's.
    pub(crate) scheduler_url: Option<String>,
    /// Another Invoke API than the emulator's, at which the poller is invoked.
    pub(crate) invoke_url: Option<String>,
    /// Role, password and database of the emulator's own Postgres.
    pub(crate) postgres: PostgresIdentity,
    /// Hosts that requests may name besides this machine's own, from `EMULATOR_ALLOWED_HOSTS`.
    pub(crate) allowed_hosts: AllowedHosts,
    /// `RUST_LOG`, for the emulator's own log.
    pub(crate) log_filter: Option<String>,
    /// Directories with programs, from `PATH`.
    pub(crate) program_directories: Vec<std::path::PathBuf>,
    /// The directory for fetched programs: `XDG_CACHE_HOME`, or `.cache` in `HOME`.
    pub(crate) cache_directory: Option<std::path::PathBuf>,
    /// The cargo that runs this emulator.
    pub(crate) cargo: String,
    /// Whether there is one.
    pub(crate) run_by_cargo: bool,
    variables: BTreeMap<String, String>,
}

/// The values of `POSTGRES_USER`, `POSTGRES_PASSWORD` and `POSTGRES_DB`.
#[derive(Clone, Default)]
pub(crate) struct PostgresIdentity {
    pub(crate) role: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<String>,
}

impl std::fmt::Debug for PostgresIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PostgresIdentity")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A variable, the expected value in words, and the function that accepts it.
type Rule = (&'static str, &'static str, fn(&str) -> bool);

/// The variables whose values are checked before anything starts.
const RULES: [Rule; 10] = [
    ("KAFKA_PRICE_TOPIC", topic_name::RULE, is_topic_name),
    ("KAFKA_DEAD_LETTER_TOPIC", topic_name::RULE, is_topic_name),
    (
        "POLLING_INTERVAL",
        "a whole number of seconds from 1 to 86400",
        is_interval,
    ),
    (
        "KAFKA_BOOTSTRAP_SERVERS",
        "brokers as host:port,host:port",
        are_brokers,
    ),
    (
        "KAFKA_SECURITY_PROTOCOL",
        "PLAINTEXT, because the emulator does not support TLS",
        is_plaintext,
    ),
    (
        "AWS_ENDPOINT_URL_SCHEDULER",
        "a URL such as http://127.0.0.1:4566",
        is_http_url,
    ),
    (
        "AWS_ENDPOINT_URL_LAMBDA",
        "a URL such as http://127.0.0.1:9001",
        is_http_url,
    ),
    (
        "POSTGRES_USER",
        "a role name of 1 to 63 bytes, not starting with pg_",
        is_role,
    ),
    (
        "POSTGRES_DB",
        "a database name of 1 to 63 bytes",
        is_postgres_name,
    ),
    ("POSTGRES_PASSWORD", "a password on one line", is_one_line),
];

impl Settings {
    /// Reads the process's environment. Variables that are not UTF-8 count as unset.
    pub(crate) fn from_environment() -> Result<Self, InvalidVariable> {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::read(variables)
    }

    /// Reads `variables`. Empty ones count as unset.
    pub(crate) fn read(mut variables: BTreeMap<String, String>) -> Result<Self, InvalidVariable> {
        variables.retain(|_, value| !value.trim().is_empty());
        let get = |name: &str| variables.get(name).cloned();
        let cache_directory = get("XDG_CACHE_HOME")
            .map(std::path::PathBuf::from)
            .or_else(|| Some(std::path::PathBuf::from(get("HOME")?).join(".cache")));

        for (variable, expected, is_valid) in RULES {
            check(&variables, variable, expected, is_valid)?;
        }

        Ok(Self {
            database_url: match database_url(get("DATABASE_URL").as_deref())? {
                Some(url) => Some(url),
                None => database_at_host(get)?,
            },
            bootstrap_servers: get("KAFKA_BOOTSTRAP_SERVERS"),
            scheduler_url: get("AWS_ENDPOINT_URL_SCHEDULER"),
            invoke_url: get("AWS_ENDPOINT_URL_LAMBDA"),
            postgres: PostgresIdentity {
                role: get("POSTGRES_USER"),
                password: get("POSTGRES_PASSWORD"),
                database: get("POSTGRES_DB"),
            },
            allowed_hosts: allowed_hosts(get("EMULATOR_ALLOWED_HOSTS").as_deref())?,
            log_filter: get("RUST_LOG"),
            program_directories: get("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            cache_directory,
            run_by_cargo: variables.contains_key("CARGO"),
            cargo: get("CARGO").unwrap_or_else(|| "cargo".to_owned()),
            variables,
        })
    }

    /// The values for the template's parameters, by name: `PollingInterval` has the value of
    /// `POLLING_INTERVAL`.
    pub(crate) fn template_parameters(&self) -> BTreeMap<String, String> {
        self.variables
            .iter()
            .map(|(name, value)| (parameter_name(name), value.clone()))
            .collect()
    }

    /// The variables that the user has set, out of those that functions understand and those
    /// `named`.
    pub(crate) fn passed_on<'a>(
        &self,
        named: impl IntoIterator<Item = &'a str>,
    ) -> BTreeMap<String, String> {
        named
            .into_iter()
            .chain(PASSED_ON)
            .filter_map(|name| Some((name.to_owned(), self.variables.get(name)?.clone())))
            .collect()
    }
}

/// `KAFKA_PRICE_TOPIC` as a template's parameter: `KafkaPriceTopic`.
fn parameter_name(variable: &str) -> String {
    variable
        .split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .into_iter()
                .chain(letters.flat_map(char::to_lowercase).collect::<Vec<_>>())
        })
        .collect()
}

fn check(
    variables: &BTreeMap<String, String>,
    variable: &'static str,
    expected: &'static str,
    holds: impl Fn(&str) -> bool,
) -> Result<(), InvalidVariable> {
    match variables.get(variable) {
        Some(value) if !holds(value) => Err(InvalidVariable { variable, expected }),
        _ => Ok(()),
    }
}

fn database_url(value: Option<&str>) -> Result<Option<Url>, InvalidVariable> {
    let Some(value) = value else { return Ok(None) };

    Url::parse(value)
        .ok()
        .filter(|url| matches!(url.scheme(), "postgres" | "postgresql"))
        .map(Some)
        .ok_or(InvalidVariable {
            variable: "DATABASE_URL",
            expected: "a URL such as postgres://user:password@host:5432/database",
        })
}

fn allowed_hosts(value: Option<&str>) -> Result<AllowedHosts, InvalidVariable> {
    let hosts = value
        .into_iter()
        .flat_map(|hosts| hosts.split(',').map(str::trim));

    AllowedHosts::read(hosts).ok_or(InvalidVariable {
        variable: "EMULATOR_ALLOWED_HOSTS",
        expected: "hosts without scheme and port, with commas between them, or * for all",
    })
}

/// The database on the server that `POSTGRES_HOST` names. Its password may contain any character,
/// which a URL put together in docker-compose does not allow.
fn database_at_host(get: impl Fn(&str) -> Option<String>) -> Result<Option<Url>, InvalidVariable> {
    let Some(host) = get("POSTGRES_HOST") else {
        return Ok(None);
    };

    let name = |variable| get(variable).unwrap_or_else(|| USUAL_NAME.to_owned());
    let password = get("POSTGRES_PASSWORD");

    url_at(
        &host,
        &name("POSTGRES_USER"),
        password.as_deref(),
        &name("POSTGRES_DB"),
    )
    .map(Some)
    .ok_or(InvalidVariable {
        variable: "POSTGRES_HOST",
        expected: "a server, as host or host:port",
    })
}

fn is_interval(value: &str) -> bool {
    value
        .parse()
        .is_ok_and(|seconds: u32| (1..=86_400).contains(&seconds))
}

fn are_brokers(value: &str) -> bool {
    value.split(',').all(|broker| {
        let (host, port) = broker.trim().rsplit_once(':').unwrap_or_default();
        !host.is_empty() && port.parse().is_ok_and(|port: u16| port > 0)
    })
}

fn is_plaintext(value: &str) -> bool {
    value == "PLAINTEXT"
}

fn is_http_url(value: &str) -> bool {
    Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn is_postgres_name(value: &str) -> bool {
    value.len() <= 63 && !value.chars().any(char::is_control)
}

fn is_role(value: &str) -> bool {
    is_postgres_name(value) && !value.starts_with("pg_")
}

fn is_one_line(value: &str) -> bool {
    !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
