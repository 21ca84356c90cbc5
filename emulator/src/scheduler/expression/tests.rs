use super::*;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn every(text: &str, end: Option<&str>) -> Timing {
    let expression = Expression::parse(text, "UTC").unwrap();
    Timing {
        expression,
        anchor: time("2026-01-01T00:00:05Z"),
        earliest: time("2026-01-01T00:00:00Z"),
        end: end.map(time),
    }
}

#[test]
fn rates_count_minutes_hours_and_days() {
    let rate = |text| Expression::parse(text, "UTC");
    assert_eq!(
        rate("rate(1 minute)"),
        Ok(Expression::Rate(TimeDelta::minutes(1)))
    );
    assert_eq!(
        rate("rate(5 minutes)"),
        Ok(Expression::Rate(TimeDelta::minutes(5)))
    );
    assert_eq!(
        rate("rate(2 hours)"),
        Ok(Expression::Rate(TimeDelta::hours(2)))
    );
    assert_eq!(
        rate("rate(3 days)"),
        Ok(Expression::Rate(TimeDelta::days(3)))
    );
}

#[test]
fn expressions_that_are_none_are_refused() {
    let texts = [
        "",
        "rate",
        "rate()",
        "rate(0 minutes)",
        "rate(-1 minutes)",
        "rate(1.5 hours)",
    ];
    let more = [
        "rate(1 second)",
        "rate(5)",
        "rate(4294967295 days)",
        "at(tomorrow)",
        "at()",
        "rate(5 minutes",
    ];

    for text in texts.iter().chain(&more) {
        let refused = Err(ExpressionError::Invalid((*text).to_owned()));
        assert_eq!(Expression::parse(text, "UTC"), refused, "{text}");
    }
}

#[test]
fn cron_is_refused_as_not_supported_yet() {
    let refused = Expression::parse("cron(0 12 * * ? *)", "UTC").unwrap_err();
    assert!(refused.to_string().contains("does not support cron"));
}

#[test]
fn the_first_instant_of_a_rate_is_its_anchor() {
    let timing = every("rate(1 minute)", None);
    assert_eq!(timing.newest_due(time("2026-01-01T00:00:04.999Z")), None);
    assert_eq!(
        timing.next_after(time("2025-12-31T00:00:00Z")),
        Some(timing.anchor)
    );
    assert_eq!(timing.newest_due(timing.anchor), Some(timing.anchor));
}

#[test]
fn later_instants_of_a_rate_lie_whole_rates_after_the_anchor() {
    let timing = every("rate(5 minutes)", None);
    let now = time("2026-01-01T01:00:04.5Z");
    assert_eq!(timing.newest_due(now), Some(time("2026-01-01T00:55:05Z")));
    assert_eq!(timing.next_after(now), Some(time("2026-01-01T01:00:05Z")));
    assert_eq!(
        timing.next_after(time("2026-01-01T01:00:05Z")),
        Some(time("2026-01-01T01:05:05Z"))
    );
}

#[test]
fn a_rate_has_no_instant_after_its_end() {
    let timing = every("rate(1 minute)", Some("2026-01-01T00:02:05Z"));
    let late = time("2026-01-01T09:00:00Z");

    assert_eq!(
        timing.next_after(time("2026-01-01T00:01:30Z")),
        Some(time("2026-01-01T00:02:05Z"))
    );
    assert_eq!(timing.next_after(time("2026-01-01T00:02:05Z")), None);
    assert_eq!(timing.newest_due(late), Some(time("2026-01-01T00:02:05Z")));
}

#[test]
fn an_at_expression_has_one_instant() {
    let timing = every("at(2026-03-01T12:00:00)", None);
    let moment = time("2026-03-01T12:00:00Z");
    assert_eq!(
        timing.next_after(time("2026-01-01T00:00:00Z")),
        Some(moment)
    );
    assert_eq!(timing.newest_due(moment), Some(moment));
    assert_eq!(timing.next_after(moment), None);
}

#[test]
fn a_moment_before_the_earliest_one_never_comes() {
    let timing = every("at(2025-12-31T23:59:59)", None);
    assert_eq!(timing.next_after(time("2025-01-01T00:00:00Z")), None);
    assert_eq!(timing.newest_due(time("2026-01-01T00:00:05Z")), None);

    let timing = every("at(2026-01-01T00:00:00)", None);
    assert_eq!(timing.newest_due(timing.anchor), Some(timing.earliest));
}
