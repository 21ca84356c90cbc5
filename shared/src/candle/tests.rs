use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn day(zone: &str, time: &str) -> Period {
    let grid = Grid {
        interval: Interval::Day,
        zone: zone.parse().unwrap(),
    };
    grid.period_of(at(time))
}

fn hours(period: Period) -> i64 {
    (period.end - period.start).num_hours()
}

#[test]
fn intervals_are_named_exactly() {
    for interval in Interval::ALL {
        assert_eq!(interval.name().parse(), Ok(interval));
    }
    for name in ["", "1M", "1m ", "60m", "2h", "day"] {
        assert_eq!(name.parse::<Interval>(), Err(IntervalError), "{name}");
    }
    let names = Interval::ALL.map(Interval::name).join(", ");
    assert_eq!(IntervalError.to_string(), format!("must be one of {names}"));
}

#[test]
fn zones_are_those_of_the_iana_database_by_their_exact_names() {
    for name in ["UTC", "America/New_York", "Asia/Kathmandu", "Etc/GMT+5"] {
        assert_eq!(name.parse::<Zone>().unwrap().name(), name);
    }
    for name in ["", "utc", "Mars/Olympus", "+01:00", "America/New_York "] {
        assert_eq!(name.parse::<Zone>(), Err(ZoneError), "{name}");
    }
    assert!(Zone::names().count() > 400);
}

#[test]
fn intervals_of_an_hour_or_less_are_whole_ones_of_utc_in_every_zone() {
    for (interval, start, end) in [
        (Interval::Minute, "10:37:00Z", "10:38:00Z"),
        (Interval::FiveMinutes, "10:35:00Z", "10:40:00Z"),
        (Interval::QuarterHour, "10:30:00Z", "10:45:00Z"),
        (Interval::Hour, "10:00:00Z", "11:00:00Z"),
    ] {
        for zone in ["UTC", "Asia/Kolkata"] {
            let zone = zone.parse().unwrap();
            let period = Grid { interval, zone }.period_of(at("2024-03-20T10:37:42.5Z"));
            let [start, end] = [start, end].map(|time| at(&format!("2024-03-20T{time}")));
            assert_eq!(period, Period { start, end });
        }
    }
}

#[test]
fn a_day_has_23_hours_where_clocks_are_set_forward_and_25_where_they_are_set_back() {
    let zone = "America/New_York";
    let ordinary = day(zone, "2024-03-20T12:00:00Z");
    assert_eq!(ordinary.start, at("2024-03-20T04:00:00Z"));
    assert_eq!(hours(ordinary), 24);

    let shorter = day(zone, "2024-03-10T12:00:00Z");
    assert_eq!(shorter.start, at("2024-03-10T05:00:00Z"));
    assert_eq!(hours(shorter), 23);

    let longer = day(zone, "2024-11-03T12:00:00Z");
    assert_eq!(longer.start, at("2024-11-03T04:00:00Z"));
    assert_eq!(hours(longer), 25);
}

#[test]
fn days_begin_between_hours_where_the_zone_does() {
    for (zone, start) in [
        ("Asia/Kolkata", "2024-03-19T18:30:00Z"),
        ("Asia/Kathmandu", "2024-03-19T18:15:00Z"),
        ("Pacific/Chatham", "2024-03-19T10:15:00Z"),
    ] {
        let day = day(zone, "2024-03-20T00:00:00Z");
        assert_eq!(day.start, at(start), "{zone}");
        assert!(day.is_of_quarters());
    }

    // Until 1972, Liberia's clocks were 44 minutes and 30 seconds behind.
    let day = day("Africa/Monrovia", "1971-06-01T12:00:00Z");
    assert_eq!(day.start, at("1971-06-01T00:44:30Z"));
    assert!(!day.is_of_quarters());
}

#[test]
fn a_day_whose_midnight_is_skipped_begins_when_the_clocks_are_set_forward() {
    let sao_paulo = day("America/Sao_Paulo", "2018-11-04T12:00:00Z");
    assert_eq!(sao_paulo.start, at("2018-11-04T03:00:00Z"));
    assert_eq!(hours(sao_paulo), 23);

    // Samoa skipped 30 December 2011, and went from one side of the date line to the other.
    let before = day("Pacific/Apia", "2011-12-30T09:59:59Z");
    let after = day("Pacific/Apia", "2011-12-30T10:00:00Z");
    assert_eq!(before.start, at("2011-12-29T10:00:00Z"));
    assert_eq!((before.end, hours(before)), (after.start, 24));
    assert_eq!(
        (after.start, hours(after)),
        (at("2011-12-30T10:00:00Z"), 24)
    );
}

#[test]
fn a_day_whose_midnight_comes_twice_begins_at_the_first_one() {
    // At 00:01 the clocks of Newfoundland were set back to 23:01.
    let first = at("2010-11-07T02:30:00Z");
    let day_before = day("America/St_Johns", "2010-11-07T02:29:59Z");
    assert_eq!(day_before.end, first);

    for time in ["2010-11-07T02:30:30Z", "2010-11-07T02:40:00Z"] {
        let day = day("America/St_Johns", time);
        assert_eq!((day.start, hours(day)), (first, 25), "{time}");
    }
}

#[test]
fn the_periods_of_every_zone_follow_each_other_without_gap_or_overlap() {
    for zone in Zone::names() {
        for interval in [Interval::Hour, Interval::Day] {
            let zone = zone.parse().unwrap();
            let grid = Grid { interval, zone };
            let mut end = grid.first_start_from(at("2026-04-20T00:00:00Z"));

            for period in grid.back_from(end).take(400) {
                assert!(period.start < period.end, "{grid:?}: {period:?}");
                assert_eq!(period.end, end, "{grid:?}");
                assert_eq!(grid.period_of(period.start), period, "{grid:?}");
                let last = period.end - TimeDelta::microseconds(1);
                assert_eq!(grid.period_of(last), period, "{grid:?}");
                assert_eq!(grid.first_start_from(period.start), period.start);
                assert_eq!(grid.first_start_from(last), period.end);
                assert!(period.is_of_quarters(), "{grid:?}: {period:?}");
                end = period.start;
            }
        }
    }
}

#[test]
fn the_years_of_a_request_are_no_limit() {
    for time in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"] {
        for zone in ["UTC", "Pacific/Kiritimati", "America/New_York"] {
            let day = day(zone, time);
            assert!(day.start <= at(time) && at(time) < day.end, "{zone} {time}");
        }
    }
}
