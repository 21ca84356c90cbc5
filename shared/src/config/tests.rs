use super::*;

const COMPLETE: [(&str, &str); 5] = [
    ("DATABASE_URL", "postgres://market:s3cret@db:5432/market"),
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka-1:9092,[::1]:9093"),
    ("SCHEDULE_GROUP", "market-polling"),
    (
        "SCHEDULE_TARGET_ARN",
        "arn:aws:lambda:eu-west-1:123456789012:function:market-poller",
    ),
    (
        "SCHEDULE_ROLE_ARN",
        "arn:aws:iam::123456789012:role/market-scheduler",
    ),
];

/// Looks a variable up in `changes` first, then in the complete configuration.
fn lookup_with(changes: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let found = changes
            .iter()
            .chain(&COMPLETE)
            .find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    }
}

fn faults(changes: &'static [(&str, &str)]) -> String {
    Api::from_lookup(&lookup_with(changes))
        .unwrap_err()
        .to_string()
}

#[test]
fn what_is_not_set_has_the_documented_default() {
    let api = Api::from_lookup(&lookup_with(&[])).unwrap();

    assert_eq!(api.kafka.price_topic, "price-events");
    assert_eq!(api.kafka.dead_letter_topic, "price-events.dlt");
    assert_eq!(api.providers.default.to_string(), "yahoo");
    assert_eq!(
        api.providers.yahoo.base_url,
        "https://query1.finance.yahoo.com"
    );
    assert_eq!(api.providers.replay_step, Duration::from_secs(10));
    assert_eq!((api.polling_interval, api.relay_jobs), (10, 200));
    assert_eq!(
        (
            api.max_polling_jobs,
            api.max_symbols_per_job,
            api.max_polled_symbols
        ),
        (10_000, 1_000, 50_000)
    );
}

#[test]
fn points_are_kept_for_ever_unless_told_otherwise() {
    let kept = |changes| Upkeep::from_lookup(&lookup_with(changes)).map(|upkeep| upkeep.retention);
    let usual = Retention {
        points_days: None,
        raw_responses_days: 7,
        runs_days: 30,
        rejected_days: 90,
    };
    assert_eq!(kept(&[]), Ok(usual));
    assert_eq!(
        kept(&[("POINTS_RETENTION_DAYS", "90")]),
        Ok(Retention {
            points_days: Some(90),
            ..usual
        })
    );

    for variable in [
        "POINTS_RETENTION_DAYS",
        "RAW_RESPONSES_RETENTION_DAYS",
        "RUNS_RETENTION_DAYS",
    ] {
        let lookup = |name: &str| {
            if name == variable {
                Some("0".to_owned())
            } else {
                lookup_with(&[])(name)
            }
        };
        let faults = Upkeep::from_lookup(&lookup).unwrap_err().to_string();
        assert_eq!(
            faults,
            format!("{variable} is not a whole number from 1 to 36500")
        );
    }
}

#[test]
fn cors_origins_are_kept_as_browsers_write_them() {
    let allowed =
        |changes| Api::from_lookup(&lookup_with(changes)).map(|api| api.cors_origins.join(" "));
    assert_eq!(allowed(&[]).unwrap(), "");

    let origins: &'static [(&str, &str)] = &[(
        "CORS_ORIGINS",
        "https://Shop.example:443/, http://localhost:3000,http://[::1]:80",
    )];
    assert_eq!(
        allowed(origins).unwrap(),
        "https://shop.example http://localhost:3000 http://[::1]"
    );

    for faulty in [
        "*",
        "shop.example",
        "null",
        "https://shop.example/path",
        "https://a,",
        "file:///",
    ] {
        let lookup = |name: &str| {
            if name == "CORS_ORIGINS" {
                Some(faulty.to_owned())
            } else {
                lookup_with(&[])(name)
            }
        };
        let faults = Api::from_lookup(&lookup).unwrap_err().to_string();
        assert!(
            faults.starts_with("CORS_ORIGINS is not http or https origins"),
            "{faulty}: {faults}"
        );
    }
}

#[test]
fn the_first_key_of_a_deployment_is_told_by_its_hash() {
    let first = |text: &str| {
        let lookup = |name: &str| match name {
            "FIRST_ADMIN_KEY" => Some(text.to_owned()),
            name => lookup_with(&[])(name),
        };
        Upkeep::from_lookup(&lookup).map(|upkeep| upkeep.first_key)
    };

    let hash = format!("8rWPzxxG:{}", "0f".repeat(32));
    assert_eq!(first(""), Ok(None));
    assert_eq!(first(&hash), Ok(Some(hash.parse().unwrap())));

    for faulty in ["8rWPzxxG", "mdp_8rWPzxxG_secret", &hash[1..]] {
        let faults = first(faulty).unwrap_err().to_string();
        assert!(
            faults.starts_with("FIRST_ADMIN_KEY is not what"),
            "{faults}"
        );
        assert!(!faults.contains(faulty), "{faults}");
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    assert_eq!(
        Api::from_lookup(&lookup_with(&[("POLLING_INTERVAL", " ")]))
            .unwrap()
            .polling_interval,
        10
    );
    assert!(
        faults(&[("DATABASE_URL", "")])
            .starts_with("DATABASE_URL is not set: expected a Postgres URL")
    );
}

#[test]
fn each_function_requires_only_what_it_uses() {
    let database = |name: &str| lookup_with(&[])(name).filter(|_| name == "DATABASE_URL");
    assert!(Averager::from_lookup(&database).is_ok());

    let poller = |name: &str| lookup_with(&[])(name).filter(|_| !name.starts_with("SCHEDULE"));
    assert!(Poller::from_lookup(&poller).is_ok());
    assert_eq!(
        Upkeep::from_lookup(&poller)
            .unwrap_err()
            .to_string()
            .lines()
            .count(),
        3
    );
}

#[test]
fn all_faults_are_named_at_once_one_line_each() {
    let faults = Api::from_lookup(&|_| None).unwrap_err().to_string();
    let named: Vec<&str> = faults
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(named, COMPLETE.map(|(name, _)| name));
}

#[test]
fn malformed_values_are_refused_with_what_was_expected() {
    let day = "POLLING_INTERVAL is not a whole number from 1 to 86400";
    for value in [
        &[("POLLING_INTERVAL", "0")],
        &[("POLLING_INTERVAL", "2.5")],
        &[("POLLING_INTERVAL", "86401")],
    ] {
        assert_eq!(faults(value), day, "{value:?}");
    }

    assert_eq!(
        faults(&[("DEFAULT_PROVIDER", "bloomberg")]),
        "DEFAULT_PROVIDER names bloomberg, which is not one of yahoo, finnhub, twelve_data, alpha_vantage, tiingo, \
         coinbase, kraken, binance, replay"
    );
    assert_eq!(
        faults(&[("DEFAULT_PROVIDER", "yahoo,,replay")]),
        "DEFAULT_PROVIDER: part 2 of the list of providers must be 1 to 32 printable ASCII characters without spaces"
    );
    for servers in [
        &[("KAFKA_BOOTSTRAP_SERVERS", "kafka")],
        &[("KAFKA_BOOTSTRAP_SERVERS", "kafka:0")],
        &[("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092,")],
        &[("KAFKA_BOOTSTRAP_SERVERS", "http://kafka:9092")],
    ] {
        assert_eq!(
            faults(servers),
            "KAFKA_BOOTSTRAP_SERVERS is not host:port[,host:port…]",
            "{servers:?}"
        );
    }

    for (variable, value) in [
        ("KAFKA_PRICE_TOPIC", "price events"),
        ("KAFKA_DEAD_LETTER_TOPIC", ".."),
        ("YAHOO_BASE_URL", "query1.finance.yahoo.com"),
        ("YAHOO_BASE_URL", "ftp://query1.finance.yahoo.com"),
        ("YAHOO_USER_AGENT", "a\nb"),
        ("SCHEDULE_GROUP", "a/b"),
        ("SCHEDULE_TARGET_ARN", "poller"),
    ] {
        let lookup = |name: &str| {
            (name == variable)
                .then(|| value.to_owned())
                .or_else(|| lookup_with(&[])(name))
        };
        let faults = Api::from_lookup(&lookup).unwrap_err().to_string();
        assert!(
            faults.starts_with(&format!("{variable} is not ")),
            "{faults}"
        );
        assert_eq!(faults.lines().count(), 1, "{faults}");
    }
}

#[test]
fn the_database_password_shows_neither_in_faults_nor_in_debug_output() {
    assert!(!faults(&[("DATABASE_URL", "mysql://market:s3cret@db/market")]).contains("s3cret"));
    assert!(!format!("{:?}", Api::from_lookup(&lookup_with(&[])).unwrap()).contains("s3cret"));
}

#[test]
fn keys_show_neither_in_faults_nor_in_debug_output() {
    let keyed = Api::from_lookup(&lookup_with(&[
        ("FINNHUB_API_KEY", "s3cret-key"),
        ("PROVIDER_PROXY", "http://user:s3cret@proxy:3128"),
    ]))
    .unwrap();
    assert_eq!(keyed.providers.finnhub.needs, None);
    assert_eq!(keyed.providers.tiingo.needs, Some("TIINGO_API_KEY"));
    assert_eq!(
        keyed.providers.finnhub.key.as_ref().map(Secret::expose),
        Some("s3cret-key")
    );
    assert!(!format!("{keyed:?}").contains("s3cret"));

    let told = faults(&[
        ("FINNHUB_API_KEY", "two s3cret words"),
        ("PROVIDER_PROXY", "s3cret"),
    ]);
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn limits_replace_the_documented_ones_that_they_name() {
    let limits = |changes| {
        let api = Api::from_lookup(&lookup_with(changes));
        api.map(|api| api.providers.twelve_data.limits)
    };
    let documented = limits(&[]).unwrap();
    assert_eq!(
        (documented.per_minute, documented.per_day),
        (Some(8), Some(800))
    );

    let changed = limits(&[("TWELVE_DATA_LIMITS", "55/min")]).unwrap();
    assert_eq!((changed.per_minute, changed.per_day), (Some(55), Some(800)));
    let told = faults(&[("TWELVE_DATA_LIMITS", "many")]);
    assert!(
        told.starts_with("TWELVE_DATA_LIMITS is not limits such as 30/s"),
        "{told}"
    );
}

#[test]
fn yfinance_is_accepted_as_yahoo() {
    let api = Api::from_lookup(&lookup_with(&[("DEFAULT_PROVIDER", "yfinance")])).unwrap();
    assert_eq!(api.providers.default.to_string(), "yahoo");
}

#[test]
fn logging_is_text_at_info_unless_lambda_asks_for_json() {
    let logging = Logging::from_lookup(&|_| None).unwrap();
    assert!(
        logging.filter.starts_with("info,") && !logging.json,
        "{logging:?}"
    );

    let json = |name: &str| (name == "AWS_LAMBDA_LOG_FORMAT").then(|| "JSON".to_owned());
    assert!(Logging::from_lookup(&json).unwrap().json);

    let odd = |name: &str| (name == "RUST_LOG").then(|| "shared=loud".to_owned());
    assert!(
        Logging::from_lookup(&odd)
            .unwrap_err()
            .to_string()
            .starts_with("RUST_LOG is not ")
    );
}
