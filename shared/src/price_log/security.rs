//! TLS and logins as settings of librdkafka.

use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};

use super::{PublishError, iam};
use crate::config::{KafkaSecurity, Login, Tls};

/// Applies the settings for brokers with this security.
pub fn apply(security: &KafkaSecurity, config: &mut ClientConfig) {
    let KafkaSecurity::Tls(Tls { ca_location, login }) = security else {
        return;
    };

    config
        .set(
            "security.protocol",
            if login.is_some() { "SASL_SSL" } else { "SSL" },
        )
        // Our OpenSSL does not know where a system keeps its certificates; librdkafka probes the
        // usual places.
        .set("ssl.ca.location", ca_location.as_deref().unwrap_or("probe"));

    match login {
        None => {}
        Some(Login::Iam { .. }) => {
            config.set("sasl.mechanism", "OAUTHBEARER");
        }
        Some(Login::Scram {
            mechanism,
            username,
            password,
        }) => {
            config
                .set("sasl.mechanism", mechanism)
                .set("sasl.username", username)
                .set("sasl.password", password);
        }
    }
}

/// Gives a token to a client that never asks for one, if the brokers require it; it is valid for 15
/// minutes. This blocks, so it must not run on a thread that polls futures.
///
/// # Errors
/// When no token could be obtained.
pub fn log_in<C: ClientContext>(
    security: &KafkaSecurity,
    client: &Client<C>,
) -> Result<(), PublishError> {
    let KafkaSecurity::Tls(Tls {
        login: Some(Login::Iam { region }),
        ..
    }) = security
    else {
        return Ok(());
    };
    iam::log_in(client, region).map_err(|error| PublishError::Unavailable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(ca_location: Option<&str>, login: Option<Login>) -> ClientConfig {
        let mut config = ClientConfig::new();
        let ca_location = ca_location.map(str::to_owned);
        apply(&KafkaSecurity::Tls(Tls { ca_location, login }), &mut config);
        config
    }

    #[test]
    fn what_is_spoken_to_in_the_clear_needs_no_settings() {
        let mut config = ClientConfig::new();
        apply(&KafkaSecurity::Plaintext, &mut config);
        assert!(config.config_map().is_empty());
    }

    #[test]
    fn tls_trusts_the_system_unless_a_file_is_named() {
        let config = applied(None, None);
        assert_eq!(
            (
                config.get("security.protocol"),
                config.get("ssl.ca.location")
            ),
            (Some("SSL"), Some("probe"))
        );
        assert_eq!(
            applied(Some("/opt/ca.pem"), None).get("ssl.ca.location"),
            Some("/opt/ca.pem")
        );
    }

    #[test]
    fn a_login_goes_over_tls_by_its_own_mechanism() {
        let iam = applied(
            None,
            Some(Login::Iam {
                region: "eu-west-1".to_owned(),
            }),
        );
        assert_eq!(
            (iam.get("security.protocol"), iam.get("sasl.mechanism")),
            (Some("SASL_SSL"), Some("OAUTHBEARER"))
        );

        let (username, password) = ("market".to_owned(), "s3cret".to_owned());
        let scram = Login::Scram {
            mechanism: "SCRAM-SHA-512".to_owned(),
            username,
            password,
        };
        let scram = applied(None, Some(scram));
        assert_eq!(
            (scram.get("security.protocol"), scram.get("sasl.mechanism")),
            (Some("SASL_SSL"), Some("SCRAM-SHA-512"))
        );
        assert_eq!(
            (scram.get("sasl.username"), scram.get("sasl.password")),
            (Some("market"), Some("s3cret"))
        );
    }
}
