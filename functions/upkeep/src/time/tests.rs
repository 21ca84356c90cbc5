use std::convert::Infallible;
use std::future::pending;

use super::*;

#[tokio::test]
async fn tasks_leave_a_minute_of_the_time_there_is_and_of_five_where_it_is_nonsense() {
    let now = Timestamp::from_timestamp_millis(1_780_000_000_000).unwrap();
    let seconds = |milliseconds| {
        let left = Time::before(milliseconds, now)
            .until
            .duration_since(Instant::now());
        left.as_secs_f64().round()
    };

    for (milliseconds, expected) in [
        (1_780_000_100_000, 40.0),
        (1_780_000_900_000, 840.0),
        (1_780_000_000_001, 0.0),
        (0, 240.0),
        (600_000, 240.0),
        (1_780_000_000_000, 240.0),
        (1_780_000_900_001, 240.0),
        (u64::MAX, 240.0),
    ] {
        assert!(
            (seconds(milliseconds) - expected).abs() < 5.0,
            "{milliseconds}"
        );
    }
}

#[tokio::test]
async fn a_task_that_hangs_leaves_time_for_others() {
    let until = Instant::now() + Duration::from_secs(60);
    let time = Time {
        until,
        longest_task: Duration::from_millis(20),
    };
    let hang = || pending::<Result<(), Infallible>>();

    assert!(matches!(time.share(hang()).await, Err(Undone::OutOfTime)));
    assert!(Instant::now() < until);
    assert!(time.share(async { Ok::<_, Infallible>(()) }).await.is_ok());
    assert!(matches!(
        Time::of(Duration::from_millis(20)).all(hang()).await,
        Err(Undone::OutOfTime)
    ));
}
