//! Reads and checks the variables one by one, and collects the faults.

use std::ops::RangeInclusive;
use std::str::FromStr;

use reqwest::Url;
use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::filter::Targets;

use super::security::THIS_BUILD_SPEAKS_TLS;
use super::{
    ConfigError, Database, InvocationSettings, Kafka, Retention, ScheduleSettings, TopicRetention,
};
use crate::access::FirstKey;

mod providers;
mod security;

/// A day: the longest interval and replay step.
const DAY_SECONDS: u32 = 86_400;
/// A century, in days.
const LONGEST_RETENTION: u32 = 36_500;
/// EventBridge's own limit on the schedules of an account in a Region.
const MOST_JOBS: u32 = 1_000_000;
/// As many symbols as a request's body may have.
pub const MOST_SYMBOLS_PER_JOB: u32 = 5_000;
/// Far more symbols than the providers' limits allow.
const MOST_POLLED_SYMBOLS: u32 = 100_000_000;
/// More jobs than one invocation of the poller could serve.
const MOST_RELAY_JOBS: u32 = 1_000;
/// Kafka's own limit on topic names.
const MAX_TOPIC_LENGTH: usize = 249;
/// Lambda's own limit on the names of consumer groups.
const MAX_GROUP_ID_LENGTH: usize = 200;
/// EventBridge's own limit on the names of schedule groups.
const MAX_GROUP_LENGTH: usize = 64;

/// Omits Postgres's notices about objects that already exist, and the runtime's own line for a
/// handler's error, which the functions log themselves.
const DEFAULT_LOG_FILTER: &str =
    "info,sqlx::postgres::notice=warn,lambda_runtime::layers::panic=off";

/// A variable of the process. A byte that is not UTF-8 becomes `U+FFFD`, which fails every check.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub(super) fn process_variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The variables, and the faults found in them so far.
///
/// A faulty variable yields some value, so that the others are still read. [`Environment::finish`]
/// returns the result only if there was no fault.
pub(super) struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<String>,
}

impl<'a> Environment<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            faults: Vec::new(),
        }
    }

    pub(super) fn finish<T>(self, config: T) -> Result<T, ConfigError> {
        if self.faults.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError {
                faults: self.faults,
            })
        }
    }

    pub(super) fn database(&mut self) -> Database {
        let expected = "a Postgres URL such as postgres://user:password@host:5432/database";
        let url = self.required("DATABASE_URL", expected, is_postgres_url);

        self.check_postgres_security(&url, THIS_BUILD_SPEAKS_TLS);
        Database { url }
    }

    pub(super) fn kafka(&mut self) -> Kafka {
        let topic = "a topic name: 1 to 249 letters, digits, dots, hyphens or underscores";
        let servers = self.required(
            "KAFKA_BOOTSTRAP_SERVERS",
            "host:port[,host:port…]",
            are_servers,
        );

        Kafka {
            bootstrap_servers: servers,
            security: self.kafka_security(THIS_BUILD_SPEAKS_TLS),
            price_topic: self.or_default("KAFKA_PRICE_TOPIC", "price-events", topic, is_topic),
            dead_letter_topic: self.or_default(
                "KAFKA_DEAD_LETTER_TOPIC",
                "price-events.dlt",
                topic,
                is_topic,
            ),
        }
    }

    pub(super) fn schedules(&mut self) -> ScheduleSettings {
        let group = "a schedule group: 1 to 64 letters, digits, dots, hyphens or underscores";
        ScheduleSettings {
            group: self.required("SCHEDULE_GROUP", group, |text| {
                is_name(text, MAX_GROUP_LENGTH)
            }),
            target_arn: self.required("SCHEDULE_TARGET_ARN", "the poller's ARN", is_arn),
            role_arn: self.required("SCHEDULE_ROLE_ARN", "the ARN of an IAM role", is_arn),
        }
    }

    /// The poller is the function that the schedules invoke, too: [`Self::schedules`] reads the same
    /// variable and reports its faults.
    pub(super) fn invocations(&mut self) -> InvocationSettings {
        let expected = "a URL such as http://127.0.0.1:9001";
        let endpoint = self.or_default("AWS_ENDPOINT_URL_LAMBDA", "", expected, |text| {
            text.is_empty() || is_base_url(text)
        });
        InvocationSettings {
            function_arn: self.value("SCHEDULE_TARGET_ARN").unwrap_or_default(),
            endpoint: Some(endpoint).filter(|endpoint| !endpoint.is_empty()),
        }
    }

    pub(super) fn retention(&mut self) -> Retention {
        const DAYS: RangeInclusive<u32> = 1..=LONGEST_RETENTION;
        Retention {
            points_days: self.value("POINTS_RETENTION_DAYS").map(|_| {
                // The variable is set, so the default only replaces a faulty value.
                self.number("POINTS_RETENTION_DAYS", LONGEST_RETENTION, DAYS)
            }),
            raw_responses_days: self.number("RAW_RESPONSES_RETENTION_DAYS", 7, DAYS),
            runs_days: self.number("RUNS_RETENTION_DAYS", 30, DAYS),
            rejected_days: self.number("REJECTED_RETENTION_DAYS", 90, DAYS),
        }
    }

    pub(super) fn topic_retention(&mut self) -> TopicRetention {
        const DAYS: RangeInclusive<u32> = 1..=LONGEST_RETENTION;
        TopicRetention {
            prices_days: self.number("PRICE_TOPIC_RETENTION_DAYS", 7, DAYS),
            dead_letters_days: self.number("DEAD_LETTER_RETENTION_DAYS", 30, DAYS),
        }
    }

    /// Lambda sets the name. `CloudWatch` reads metrics only from logs in JSON.
    pub(super) fn metrics_of(&mut self) -> Option<String> {
        self.value("AWS_LAMBDA_FUNCTION_NAME")
            .filter(|_| self.log_json())
    }

    pub(super) fn polling_interval(&mut self) -> u32 {
        self.number("POLLING_INTERVAL", 10, 1..=DAY_SECONDS)
    }

    pub(super) fn max_polling_jobs(&mut self) -> u32 {
        self.number("MAX_POLLING_JOBS", 10_000, 1..=MOST_JOBS)
    }

    pub(super) fn max_symbols_per_job(&mut self) -> u32 {
        self.number("MAX_SYMBOLS_PER_JOB", 1_000, 1..=MOST_SYMBOLS_PER_JOB)
    }

    pub(super) fn max_polled_symbols(&mut self) -> u32 {
        self.number("MAX_POLLED_SYMBOLS", 50_000, 1..=MOST_POLLED_SYMBOLS)
    }

    pub(super) fn relay_jobs(&mut self) -> u32 {
        self.number("RELAY_JOBS", 200, 1..=MOST_RELAY_JOBS)
    }

    pub(super) fn averager_group(&mut self) -> String {
        let expected = "a consumer group: 1 to 200 letters, digits, dots, hyphens or underscores";
        self.or_default("AVERAGER_GROUP", "averager", expected, |text| {
            is_name(text, MAX_GROUP_ID_LENGTH)
        })
    }

    pub(super) fn cors_origins(&mut self) -> Vec<String> {
        let expected =
            "http or https origins such as https://shop.example, with commas between them";
        let text = self.or_default("CORS_ORIGINS", "", expected, |text| {
            text.is_empty() || are_origins(text)
        });

        text.split(',').filter_map(origin).collect()
    }

    pub(super) fn key_in_query(&mut self) -> bool {
        self.truth("API_KEY_IN_QUERY")
    }

    pub(super) fn first_key(&mut self) -> Option<FirstKey> {
        let expected =
            "what `keys create --scope admin --hash-only` prints: an id, a colon and a hash";
        let text = self.or_default("FIRST_ADMIN_KEY", "", expected, |text| {
            text.is_empty() || text.parse::<FirstKey>().is_ok()
        });

        text.parse().ok()
    }

    pub(super) fn log_filter(&mut self) -> String {
        let expected = "log filter directives such as info or info,shared=debug";
        self.or_default("RUST_LOG", DEFAULT_LOG_FILTER, expected, |text| {
            Targets::from_str(text).is_ok()
        })
    }

    pub(super) fn log_json(&mut self) -> bool {
        self.value("AWS_LAMBDA_LOG_FORMAT")
            .is_some_and(|format| format.eq_ignore_ascii_case("JSON"))
    }

    /// The variable's value without surrounding spaces; an empty value counts as unset.
    fn value(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str, expected: &str, accepts: impl Fn(&str) -> bool) -> String {
        let value = self.value(name);

        match &value {
            None => self
                .faults
                .push(format!("{name} is not set: expected {expected}")),
            Some(value) if !accepts(value) => self.faults.push(format!("{name} is not {expected}")),
            Some(_) => {}
        }
        value.unwrap_or_default()
    }

    fn or_default(
        &mut self,
        name: &str,
        default: &str,
        expected: &str,
        accepts: impl Fn(&str) -> bool,
    ) -> String {
        let value = self.value(name).unwrap_or_else(|| default.to_owned());

        if !accepts(&value) {
            self.faults.push(format!("{name} is not {expected}"));
        }
        value
    }

    /// A variable that is `true` or, by default, `false`.
    fn truth(&mut self, name: &str) -> bool {
        let text = self.or_default(name, "false", "true or false", |text| {
            matches!(text, "true" | "false")
        });

        text == "true"
    }

    fn number(&mut self, name: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let text = self.or_default(name, &default.to_string(), &expected, |text| {
            text.parse().is_ok_and(|number| range.contains(&number))
        });

        text.parse().unwrap_or(default)
    }
}

fn is_postgres_url(text: &str) -> bool {
    let postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
    postgres && PgConnectOptions::from_str(text).is_ok()
}

fn are_servers(text: &str) -> bool {
    text.split(',').all(|server| {
        server.trim().rsplit_once(':').is_some_and(|(host, port)| {
            let host_fits = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
            host_fits && !host.contains('/') && port.parse().is_ok_and(|port: u16| port > 0)
        })
    })
}

fn are_origins(text: &str) -> bool {
    text.split(',').all(|text| origin(text).is_some())
}

/// The origin in a browser's spelling: without the scheme's default port, and without a trailing
/// slash.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    let bare = is_base_url(text.trim()) && url.path() == "/";
    bare.then(|| url.origin().ascii_serialization())
}

fn is_name(text: &str, max_length: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=max_length).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_topic(text: &str) -> bool {
    is_name(text, MAX_TOPIC_LENGTH) && text != "." && text != ".."
}

fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
        && text.splitn(6, ':').count() == 6
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_base_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let plain = url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && plain && anonymous
    })
}
