//! Reads the variables for TLS, and for the login at Kafka.

use std::path::Path;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::Environment;
use crate::config::{KafkaSecurity, Login, Tls};

const PROTOCOLS: [&str; 3] = ["PLAINTEXT", "SSL", "SASL_SSL"];
const IAM: &str = "AWS_MSK_IAM";
const MECHANISMS: [&str; 3] = [IAM, "SCRAM-SHA-512", "SCRAM-SHA-256"];
/// What to do if TLS is configured and the build does not support it.
const REMEDY: &str = "which this build does not speak: build with --features deployed";

impl Environment<'_> {
    /// The security of Kafka's connections, for a build with or without TLS.
    pub(super) fn kafka_security(&mut self, speaks_tls: bool) -> KafkaSecurity {
        let expected = format!("one of {}", PROTOCOLS.join(", "));
        let known = |text: &str| PROTOCOLS.contains(&text);
        let protocol = self.or_default("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", &expected, known);

        match protocol.as_str() {
            "SSL" | "SASL_SSL" if !speaks_tls => {
                self.faults
                    .push(format!("KAFKA_SECURITY_PROTOCOL asks for TLS, {REMEDY}"));
                KafkaSecurity::Plaintext
            }
            "SSL" => KafkaSecurity::Tls(Tls {
                ca_location: self.ca_location(),
                login: None,
            }),
            "SASL_SSL" => KafkaSecurity::Tls(Tls {
                ca_location: self.ca_location(),
                login: Some(self.login()),
            }),
            _ => KafkaSecurity::Plaintext,
        }
    }

    fn ca_location(&mut self) -> Option<String> {
        let location = self.value("KAFKA_SSL_CA_LOCATION")?;
        if !Path::new(&location).is_file() {
            self.faults
                .push("KAFKA_SSL_CA_LOCATION is not a file that is there".to_owned());
        }
        Some(location)
    }

    fn login(&mut self) -> Login {
        let expected = format!("one of {}", MECHANISMS.join(", "));
        let mechanism = self.required("KAFKA_SASL_MECHANISM", &expected, |text| {
            MECHANISMS.contains(&text)
        });

        if mechanism.starts_with("SCRAM") {
            let not_empty = |text: &str| !text.is_empty();
            return Login::Scram {
                mechanism,
                username: self.required("KAFKA_SASL_USERNAME", "the name for SCRAM", not_empty),
                password: self.required("KAFKA_SASL_PASSWORD", "the password for SCRAM", not_empty),
            };
        }

        let is_region = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let region = if mechanism == IAM {
            self.required(
                "AWS_REGION",
                "the region of the cluster, such as eu-west-1",
                is_region,
            )
        } else {
            String::new()
        };

        Login::Iam { region }
    }

    /// Refuses a URL that requires TLS if this build does not support it. Other modes fall back to
    /// a connection without TLS, as Postgres defines them.
    pub(super) fn check_postgres_security(&mut self, url: &str, speaks_tls: bool) {
        let mode = PgConnectOptions::from_str(url).map(|options| options.get_ssl_mode());
        let insists = |mode| {
            matches!(
                mode,
                PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull
            )
        };

        if !speaks_tls && mode.is_ok_and(insists) {
            self.faults.push(format!(
                "DATABASE_URL asks for TLS by its sslmode, {REMEDY}"
            ));
        }
    }
}

#[cfg(test)]
mod tests;
