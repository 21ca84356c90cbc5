use rdkafka::Timestamp;

use super::*;

const ONE_MILLISECOND: Duration = Duration::from_millis(1);

fn record(offset: i64) -> Received<'static> {
    Received {
        topic: "prices",
        partition: 0,
        offset,
        timestamp: Timestamp::CreateTime(1_545_084_650_987),
        key: None,
        value: None,
        headers: Vec::new(),
        read_at: 0,
    }
}

/// Takes in a record, and returns the number of records that were handed over at once.
fn handed_over(lane: &mut Lane, outlet: &mut Outlet, offset: i64, at: Instant) -> Option<usize> {
    lane.push(&record(offset), 1, at);
    taken(lane, outlet, Duration::ZERO, at)
}

/// Returns the number of records of the batch that a free slot gets now.
fn taken(lane: &mut Lane, outlet: &mut Outlet, window: Duration, at: Instant) -> Option<usize> {
    outlet.ready();
    lane.advance(window, at);
    outlet.batches.try_recv().ok().map(|batch| batch.len())
}

#[test]
fn a_record_that_arrives_at_an_idle_lane_is_handed_over_at_once() {
    let (mut lane, mut outlet) = Lane::new(10_000);
    let start = Instant::now();

    assert_eq!(handed_over(&mut lane, &mut outlet, 0, start), Some(1));
    assert_eq!(
        handed_over(&mut lane, &mut outlet, 1, start + GATHER),
        Some(1),
        "after the time in which it would have gathered"
    );
}

#[test]
fn after_a_small_batch_a_lane_gathers_for_a_few_milliseconds_from_that_batch_on() {
    let (mut lane, mut outlet) = Lane::new(10_000);
    let start = Instant::now();
    assert_eq!(handed_over(&mut lane, &mut outlet, 0, start), Some(1));

    let soon = start + ONE_MILLISECOND;
    assert_eq!(handed_over(&mut lane, &mut outlet, 1, soon), None);
    assert_eq!(
        lane.window_left(Duration::ZERO, soon),
        Some(GATHER - ONE_MILLISECOND),
        "the thread wakes when the time has passed"
    );
    assert_eq!(
        handed_over(&mut lane, &mut outlet, 2, start + GATHER),
        Some(2)
    );
}

#[test]
fn a_complete_batch_and_the_batch_after_a_large_one_wait_for_nothing() {
    let (mut lane, mut outlet) = Lane::new(SMALL + 1);
    let start = Instant::now();
    assert_eq!(handed_over(&mut lane, &mut outlet, 0, start), Some(1));

    for offset in 0..=SMALL {
        lane.push(&record(i64::try_from(offset).unwrap()), 1, start);
    }
    assert_eq!(
        taken(&mut lane, &mut outlet, Duration::ZERO, start),
        Some(SMALL + 1)
    );
    assert_eq!(handed_over(&mut lane, &mut outlet, 0, start), Some(1));
}

#[test]
fn a_batching_window_that_is_longer_decides() {
    let (mut lane, mut outlet) = Lane::new(10_000);
    let (start, window) = (Instant::now(), GATHER * 3);

    lane.push(&record(0), 1, start);
    assert_eq!(taken(&mut lane, &mut outlet, window, start + GATHER), None);
    assert_eq!(
        taken(&mut lane, &mut outlet, window, start + window),
        Some(1)
    );
}
