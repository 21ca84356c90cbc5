use super::*;

fn security(speaks_tls: bool, variables: &[(&str, &str)]) -> Result<KafkaSecurity, String> {
    let lookup = |name: &str| {
        variables
            .iter()
            .find(|(variable, _)| *variable == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let mut environment = Environment::new(&lookup);

    let security = environment.kafka_security(speaks_tls);
    environment
        .finish(security)
        .map_err(|error| error.to_string())
}

fn tls(login: Option<Login>) -> Result<KafkaSecurity, String> {
    Ok(KafkaSecurity::Tls(Tls {
        ca_location: None,
        login,
    }))
}

const IAM_LOGIN: [(&str, &str); 3] = [
    ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
    ("KAFKA_SASL_MECHANISM", "AWS_MSK_IAM"),
    ("AWS_REGION", "eu-west-1"),
];
const SCRAM_LOGIN: [(&str, &str); 4] = [
    ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
    ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
    ("KAFKA_SASL_USERNAME", "market"),
    ("KAFKA_SASL_PASSWORD", "s3cret"),
];

#[test]
fn kafka_is_spoken_to_in_the_clear_unless_told_otherwise() {
    assert_eq!(security(true, &[]), Ok(KafkaSecurity::Plaintext));
    assert_eq!(
        security(false, &[("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")]),
        Ok(KafkaSecurity::Plaintext)
    );
}

#[test]
fn tls_goes_without_login_by_iam_or_by_scram() {
    assert_eq!(
        security(true, &[("KAFKA_SECURITY_PROTOCOL", "SSL")]),
        tls(None)
    );
    assert_eq!(
        security(true, &IAM_LOGIN),
        tls(Some(Login::Iam {
            region: "eu-west-1".to_owned()
        }))
    );

    let scram = Login::Scram {
        mechanism: "SCRAM-SHA-512".to_owned(),
        username: "market".to_owned(),
        password: "s3cret".to_owned(),
    };
    assert_eq!(security(true, &SCRAM_LOGIN), tls(Some(scram)));
}

#[test]
fn a_build_without_tls_refuses_it_with_one_line_that_says_what_to_do() {
    let refusal = "KAFKA_SECURITY_PROTOCOL asks for TLS, which this build does not speak: build with --features deployed";
    for variables in [
        &[("KAFKA_SECURITY_PROTOCOL", "SSL")][..],
        &IAM_LOGIN,
        &SCRAM_LOGIN,
    ] {
        assert_eq!(
            security(false, variables),
            Err(refusal.to_owned()),
            "{variables:?}"
        );
    }
}

#[test]
fn a_database_that_must_be_spoken_to_by_tls_is_refused_by_a_build_without_it() {
    let faults = |mode: &str, speaks_tls| {
        let mut environment = Environment::new(&|_| None);
        environment.check_postgres_security(&format!("postgres://db/market{mode}"), speaks_tls);
        environment.faults
    };

    for mode in [
        "?sslmode=require",
        "?sslmode=verify-ca",
        "?sslmode=verify-full",
    ] {
        assert_eq!(faults(mode, false).len(), 1, "{mode}");
        assert_eq!(faults(mode, true), Vec::<String>::new(), "{mode}");
    }
    for mode in ["", "?sslmode=prefer", "?sslmode=disable"] {
        assert_eq!(faults(mode, false), Vec::<String>::new(), "{mode}");
    }
}

#[test]
fn what_a_login_lacks_is_named() {
    let refused = |variables: &[(&str, &str)]| security(true, variables).unwrap_err();
    let unknown = refused(&[("KAFKA_SECURITY_PROTOCOL", "TLS")]);
    assert!(
        unknown.starts_with("KAFKA_SECURITY_PROTOCOL is not one of "),
        "{unknown}"
    );

    let no_mechanism = refused(&IAM_LOGIN[..1]);
    assert!(
        no_mechanism.starts_with("KAFKA_SASL_MECHANISM is not set: expected one of "),
        "{no_mechanism}"
    );
    assert!(refused(&IAM_LOGIN[..2]).starts_with("AWS_REGION is not set"));

    let without_password = refused(&SCRAM_LOGIN[..2]);
    let named: Vec<&str> = without_password
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(named, ["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]);

    let no_file = [
        ("KAFKA_SECURITY_PROTOCOL", "SSL"),
        ("KAFKA_SSL_CA_LOCATION", "/nowhere.pem"),
    ];
    assert_eq!(
        refused(&no_file),
        "KAFKA_SSL_CA_LOCATION is not a file that is there"
    );
}

#[test]
fn the_password_for_kafka_does_not_show_in_debug_output() {
    assert!(!format!("{:?}", security(true, &SCRAM_LOGIN)).contains("s3cret"));
}
