use rdkafka::admin::{ConfigEntry, ConfigSource, OwnedResourceSpecifier};

use super::*;

const PRICES: Topic<'_> = Topic {
    name: "prices",
    partitions: 6,
    retention_days: 7,
    bounds_times: true,
};

fn with(entries: &[(&str, &str)]) -> ConfigResource {
    let entry = |(name, value): &(&str, &str)| ConfigEntry {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
        source: ConfigSource::Default,
        is_read_only: false,
        is_default: true,
        is_sensitive: false,
    };
    let specifier = OwnedResourceSpecifier::Topic("prices".to_owned());
    ConfigResource {
        specifier,
        entries: entries.iter().map(entry).collect(),
    }
}

#[test]
fn of_three_copies_two_must_be_there_and_of_fewer_one() {
    let settings = |copies| Settings::new(&PRICES, copies);
    let of = |copies| settings(copies).min_in_sync;
    assert_eq!([of(1), of(2), of(3)], ["1", "1", "2"]);

    assert_eq!(
        (settings(3).retention.as_str(), settings(3).ahead.as_deref()),
        ("604800000", Some("300000"))
    );
    assert_eq!(settings(3).for_older_brokers().ahead, None);
    assert_eq!(
        Settings::new(
            &Topic {
                bounds_times: false,
                ..PRICES
            },
            1
        )
        .ahead,
        None
    );
}

#[test]
fn a_topic_that_is_weaker_is_told_with_what_it_has_and_what_it_should_have() {
    let default = [
        (MIN_IN_SYNC, "1"),
        (RETENTION, "86400000"),
        (AHEAD, "9223372036854775807"),
        (TIME_KIND, "CreateTime"),
    ];
    assert_eq!(
        shortcomings(&PRICES, 3, &with(&default)),
        [
            "min.insync.replicas of prices is 1, not 2",
            "retention.ms of prices is 86400000, not 604800000",
            "message.timestamp.after.max.ms of prices is 9223372036854775807, not 300000",
        ]
    );
    assert_eq!(
        shortcomings(&PRICES, 1, &with(&default[..1])),
        [""; 0],
        "there is but one copy"
    );

    let stronger = [
        (MIN_IN_SYNC, "3"),
        (RETENTION, "-1"),
        (AHEAD, "1000"),
        (TIME_KIND, "CreateTime"),
    ];
    assert_eq!(shortcomings(&PRICES, 3, &with(&stronger)), [""; 0]);

    let by_the_broker = [(AHEAD, "9223372036854775807"), (TIME_KIND, "LogAppendTime")];
    assert_eq!(shortcomings(&PRICES, 3, &with(&by_the_broker)), [""; 0]);
    assert_eq!(
        shortcomings(&PRICES, 3, &with(&[])),
        [""; 0],
        "an older broker"
    );
}
