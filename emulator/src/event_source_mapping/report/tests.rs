use super::*;

fn now() -> DateTime<Utc> {
    Utc::now()
}

fn seconds_ago(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

fn sound() -> Report {
    let reader = ReaderReport {
        down_since: None,
        last_turn: Some(now()),
        ..ReaderReport::starting(now())
    };
    Report {
        id: "averager-prices".to_owned(),
        function: "averager".to_owned(),
        topic: "prices".to_owned(),
        group: "averager".to_owned(),
        reader,
        partitions: vec![partition(5)],
        in_flight: vec![in_flight(5)],
        last_failure: Some(trouble(5, "Unhandled")),
        last_kafka_error: Some(trouble(5, "a broker is unavailable")),
    }
}

fn trouble(seconds: i64, reason: &str) -> Trouble {
    Trouble {
        at: seconds_ago(seconds),
        ..Trouble::now(None, reason.to_owned())
    }
}

fn in_flight(seconds: i64) -> InFlight {
    InFlight {
        since: seconds_ago(seconds),
        partitions: vec![0, 2],
        records: 7,
        oldest_record: None,
    }
}

/// A partition whose position has not moved for this long.
fn partition(seconds: i64) -> Partition {
    Partition {
        partition: 3,
        committed: 17,
        position: 17,
        high_watermark: 25,
        lag: 8,
        standing_since: Some(seconds_ago(seconds)),
        error: None,
    }
}

fn only_trouble(report: &Report) -> String {
    let mut troubles = report.troubles(now());
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    troubles.remove(0)
}

#[test]
fn what_does_not_last_is_no_trouble() {
    assert_eq!(sound().troubles(now()), [] as [&str; 0]);

    let starting = Report {
        reader: ReaderReport::starting(now()),
        ..sound()
    };
    assert_eq!(starting.troubles(now()), [] as [&str; 0]);
}

#[test]
fn a_reader_that_is_down_stands_still_or_gets_no_answer_is_trouble() {
    let last_end = Some(trouble(31, "a panic"));
    let down = ReaderReport {
        last_end,
        ..ReaderReport::starting(seconds_ago(31))
    };
    let words = only_trouble(&Report {
        reader: down,
        ..sound()
    });
    assert_eq!(words, "prices has not been read for 31 s: a panic");

    let stands = ReaderReport {
        last_turn: Some(seconds_ago(40)),
        ..sound().reader
    };
    let words = only_trouble(&Report {
        reader: stands,
        ..sound()
    });
    assert_eq!(
        words,
        "the thread that reads prices has stood still for 40 s"
    );

    let unanswered = ReaderReport {
        unanswered_since: Some(seconds_ago(50)),
        ..sound().reader
    };
    let words = only_trouble(&Report {
        reader: unanswered,
        ..sound()
    });
    assert_eq!(
        words,
        "Kafka has not answered for 50 s: a broker is unavailable"
    );
}

#[test]
fn a_batch_that_the_function_does_not_process_is_trouble_and_says_why() {
    let words = only_trouble(&Report {
        in_flight: vec![in_flight(35)],
        ..sound()
    });
    assert_eq!(
        words,
        "averager has not processed 7 records of partitions [0, 2] for 35 s: Unhandled"
    );

    let hanging = Report {
        in_flight: vec![in_flight(35)],
        last_failure: Some(trouble(90, "old")),
        ..sound()
    };
    assert!(only_trouble(&hanging).ends_with("for 35 s"));
}

#[test]
fn a_partition_that_cannot_be_read_is_trouble_and_named() {
    let unread = Partition {
        error: Some(trouble(1, "codec 0x7")),
        ..partition(31)
    };
    let words = only_trouble(&Report {
        partitions: vec![unread],
        ..sound()
    });

    let expected =
        "partition 3 of prices has not been read beyond offset 17 of 25 for 31 s: codec 0x7";
    assert_eq!(words, expected);
}

#[test]
fn a_partition_stands_still_from_one_look_to_the_next_and_is_in_trouble_only_while_the_client_is() {
    let look = |before: &Partition, trouble: &Trouble, position| {
        let mut now = Partition {
            position,
            ..partition(0)
        };
        now.goes_on_from(before, Some(trouble));
        now
    };

    let unread = look(&partition(20), &trouble(1, "codec 0x7"), 17);
    assert_eq!(
        unread.error.as_ref().map(|error| error.partition),
        Some(Some(3))
    );
    assert_eq!(
        unread
            .standing_since
            .map(|since| (now() - since).num_seconds()),
        Some(20)
    );

    assert_eq!(
        look(&partition(5), &trouble(1, "codec 0x7"), 17).error,
        None,
        "not for long"
    );
    assert_eq!(
        look(&partition(20), &trouble(60, "codec 0x7"), 17).error,
        None,
        "long ago"
    );

    let read_on = look(&partition(20), &trouble(1, "codec 0x7"), 18);
    assert_eq!(read_on.error, None);
    assert!(read_on.standing_since > Some(seconds_ago(5)), "from now on");
}
