//! Variables, good and bad.

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Settings, InvalidVariable> {
    Settings::read(
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    )
}

#[test]
fn a_malformed_variable_is_named_with_what_was_expected_and_without_its_value() {
    for (variable, value) in [
        ("DATABASE_URL", "mysql://root:secret@host/db"),
        ("DATABASE_URL", "secret"),
        ("KAFKA_BOOTSTRAP_SERVERS", "secret"),
        ("KAFKA_BOOTSTRAP_SERVERS", "secret:0"),
        ("KAFKA_SECURITY_PROTOCOL", "secret"),
        ("KAFKA_PRICE_TOPIC", "secret topic"),
        ("POLLING_INTERVAL", "secret"),
        ("POLLING_INTERVAL", "0"),
        ("AWS_ENDPOINT_URL_SCHEDULER", "secret:1234"),
        ("EMULATOR_ALLOWED_HOSTS", "localhost,http://secret"),
        ("POSTGRES_HOST", "secret:port"),
        ("POSTGRES_HOST", "me:secret@host"),
        ("POSTGRES_HOST", "host/secret"),
        ("POSTGRES_USER", "pg_secret"),
        ("POSTGRES_PASSWORD", "two\nlines"),
    ] {
        let message = read(&[(variable, value)]).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("{variable} must be ")),
            "{message}"
        );

        assert!(!message.contains("secret"), "{message}");
        assert_eq!(message.lines().count(), 1);
    }
}

#[test]
fn the_database_at_a_named_host_takes_any_password() {
    let settings = read(&[
        ("POSTGRES_HOST", "postgres"),
        ("POSTGRES_PASSWORD", "p@ss/w:rd?#%"),
    ])
    .unwrap();

    let url = settings.database_url.unwrap();
    assert_eq!(
        url.as_str(),
        "postgres://market:p%40ss%2Fw%3Ard%3F%23%25@postgres/market"
    );

    let named = [
        ("POSTGRES_HOST", "db:5433"),
        ("POSTGRES_USER", "me"),
        ("POSTGRES_DB", "a/b"),
    ];

    assert_eq!(
        read(&named).unwrap().database_url.unwrap().as_str(),
        "postgres://me@db:5433/a%2Fb"
    );

    let both = [
        ("POSTGRES_HOST", "db"),
        ("DATABASE_URL", "postgres://you@there/prices"),
    ];

    assert_eq!(
        read(&both).unwrap().database_url.unwrap().as_str(),
        "postgres://you@there/prices"
    );
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let settings = read(&[("DATABASE_URL", ""), ("KAFKA_BOOTSTRAP_SERVERS", " ")]).unwrap();
    assert_eq!(settings.database_url, None);
    assert_eq!(settings.bootstrap_servers, None);
}

#[test]
fn the_template_s_parameters_take_the_variables_of_their_names() {
    let parameters = read(&[("KAFKA_PRICE_TOPIC", "ticks")])
        .unwrap()
        .template_parameters();
    assert_eq!(
        parameters.get("KafkaPriceTopic").map(String::as_str),
        Some("ticks")
    );
}

#[test]
fn functions_get_the_variables_they_understand_and_no_others() {
    let settings = read(&[
        ("YAHOO_BASE_URL", "http://x"),
        ("OWN", "1"),
        ("SECRET", "2"),
    ])
    .unwrap();

    let names: Vec<_> = settings.passed_on(["OWN"]).into_keys().collect();
    assert_eq!(names, ["OWN", "YAHOO_BASE_URL"]);
}

#[test]
fn a_topic_that_kafka_refuses_is_refused() {
    for variable in ["KAFKA_PRICE_TOPIC", "KAFKA_DEAD_LETTER_TOPIC"] {
        for name in [".", ".."] {
            let refused = read(&[(variable, name)]).unwrap_err();
            assert_eq!(refused.variable, variable);
        }
    }
}
