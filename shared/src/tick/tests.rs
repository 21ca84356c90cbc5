use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn grid(interval_seconds: u32) -> Grid {
    Grid::new(at(0), interval_seconds)
}

#[test]
fn ticks_lie_at_start_plus_multiples_of_the_interval() {
    let grid = grid(7);
    assert_eq!(grid.newest_at(at(0)), Some(at(0)));
    assert_eq!(grid.newest_at(at(20)), Some(at(14)));
    assert_eq!(grid.next_after(at(14)), at(21));
    assert_eq!(grid.next_after(at(15)), at(21));
    assert_eq!(grid.next_from(at(14)), at(14));
    assert_eq!(grid.next_from(at(15)), at(21));
}

#[test]
fn before_the_start_there_is_no_tick_and_the_start_is_next() {
    assert_eq!(grid(7).newest_at(at(0) - TimeDelta::microseconds(1)), None);
    assert_eq!(grid(7).next_after(at(-100)), at(0));
    assert_eq!(grid(7).next_from(at(-100)), at(0));
}

#[test]
fn whole_minutes_fire_at_their_ticks_and_all_other_intervals_each_minute() {
    assert_eq!(grid(120).firings(), grid(120));
    for interval in [1, 59, 61, 90, 3601] {
        assert_eq!(grid(interval).firings(), grid(60), "{interval}");
    }
}

#[test]
fn a_gap_counts_the_ticks_strictly_between() {
    let grid = grid(10);

    assert_eq!(grid.gap(Some(at(20)), at(30)), None);
    assert_eq!(
        grid.gap(Some(at(20)), at(40)),
        Some(Gap {
            first: at(30),
            ticks: 1
        })
    );
    assert_eq!(
        grid.gap(Some(at(20)), at(70)),
        Some(Gap {
            first: at(30),
            ticks: 4
        })
    );
    assert_eq!(grid.gap(Some(at(40)), at(30)), None);
}

#[test]
fn a_gap_that_nothing_came_before_begins_at_the_start() {
    assert_eq!(grid(10).gap(None, at(0)), None);
    assert_eq!(
        grid(10).gap(None, at(20)),
        Some(Gap {
            first: at(0),
            ticks: 2
        })
    );
}

#[test]
fn a_gap_may_end_between_two_ticks() {
    let gap = grid(10).gap(Some(at(0)), at(25)).unwrap();
    assert_eq!(
        (gap, grid(10).last_of(gap)),
        (
            Gap {
                first: at(10),
                ticks: 2
            },
            at(20)
        )
    );
}

#[test]
fn a_job_starts_at_the_next_whole_second() {
    assert_eq!(start_after(at(5)), at(6));
    assert_eq!(start_after(at(5) + TimeDelta::microseconds(999_999)), at(6));
}

#[test]
fn the_back_off_doubles_up_to_five_minutes() {
    let pauses: Vec<_> = (1..=7)
        .map(|n| (back_off(&grid(10), n, None, 0, at(0)) - at(0)).num_seconds())
        .collect();
    assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(back_off(&grid(10), u32::MAX, None, 0, at(0)), at(300));
}

#[test]
fn an_interval_above_five_minutes_is_never_stretched() {
    assert_eq!(back_off(&grid(3600), 9, None, 0, at(0)), at(3600));
}

#[test]
fn the_back_off_counts_from_the_newest_tick_so_that_a_first_failure_skips_none() {
    assert_eq!(back_off(&grid(10), 1, None, 0, at(19)), at(20));
}

#[test]
fn a_provider_that_limits_us_gets_the_pause_it_asked_for_up_to_a_quarter_of_an_hour() {
    let pause = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(back_off(&grid(10), 1, pause(900), 0, at(3)), at(903));
    assert_eq!(back_off(&grid(10), 3, pause(1), 0, at(3)), at(40));
    assert_eq!(back_off(&grid(10), 1, pause(u64::MAX), 0, at(0)), at(900));
}

#[test]
fn times_far_from_the_start_are_harmless() {
    assert_eq!(grid(1).newest_at(Timestamp::MIN_UTC), None);
    let _: Option<Timestamp> = grid(86_400).newest_at(Timestamp::MAX_UTC);
}

#[test]
fn jitter_shortens_a_long_pause_by_up_to_a_fifth_and_never_below_the_interval() {
    let pause = |failures, jitter| {
        (back_off(&grid(10), failures, None, jitter, at(0)) - at(0)).num_seconds()
    };
    let of_all: Vec<_> = (0..1_000).map(|jitter| pause(9, jitter)).collect();

    assert_eq!(of_all.iter().max(), Some(&300));
    assert_eq!(of_all.iter().min(), Some(&240));
    assert!((0..1_000).all(|jitter| pause(1, jitter) == 10));
    assert_eq!(back_off(&grid(3600), 9, None, 199, at(0)), at(3600));
}

#[test]
fn a_grid_has_its_instants_and_no_time_between_or_before_them() {
    assert!(grid(10).has(at(0)) && grid(10).has(at(30)));
    assert!(!grid(10).has(at(5)) && !grid(10).has(at(-10)));
}
