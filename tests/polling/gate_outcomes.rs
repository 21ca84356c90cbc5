//! What the gate of a provider learns from a request: whether it was sent, answered, or cut off.

use std::sync::atomic::Ordering;
use std::time::Duration;

use e2e::waiting::until;
use futures::future::join_all;
use shared::acquisition::{Instance, probe};
use shared::provider::{Limits, ProviderError, Refusal};
use shared::repository::request_budgets::provider_states;

use crate::metered::{Act, Impatient, Metered, ask, failure, half_open, per_minute, pool, state};

#[tokio::test]
async fn a_request_that_was_never_sent_gives_its_token_and_its_probe_back_and_says_nothing() {
    let pool = pool().await;
    let course = Impatient::new(&pool);
    let provider = Metered::new(per_minute(3));

    let instance = Instance::default();
    provider.will((0..5).map(|_| Act::SendsNothing));
    for _ in 0..5 {
        assert_eq!(failure(&course, &instance, &provider).await, None);
    }
    assert_eq!(state(&pool).await.taken_now[1], 0);
    assert_eq!(course.stored.load(Ordering::Relaxed), 0, "no response");

    let limit = provider.limit(Some(Duration::from_secs(600)));
    provider.will([Act::Fails(limit), Act::SendsNothing]);
    assert!(failure(&course, &instance, &provider).await.is_some());
    let instance = half_open(&pool).await;
    assert_eq!(failure(&course, &instance, &provider).await, None);
    assert!(
        state(&pool).await.open_until.is_some(),
        "it stays half-open"
    );

    let instance = half_open(&pool).await;
    assert_eq!(
        failure(&course, &instance, &provider).await,
        None,
        "the probe"
    );
    assert_eq!(state(&pool).await.open_until, None);
    assert_eq!(state(&pool).await.taken_now[1], 2);
}

#[tokio::test]
async fn what_the_plan_does_not_include_opens_no_breaker_and_fails_no_probe() {
    let pool = pool().await;
    let (course, instance) = (Impatient::new(&pool), Instance::default());
    let provider = Metered::new(Limits::unlimited(10));

    let gated = || Act::Fails(provider.refusal(Refusal::Plan));
    provider.will((0..20).map(|_| gated()));
    for _ in 0..20 {
        assert!(failure(&course, &instance, &provider).await.is_some());
    }
    assert_eq!(failure(&course, &instance, &provider).await, None);

    let limit = provider.limit(Some(Duration::from_secs(600)));
    provider.will([Act::Fails(limit), gated()]);
    assert!(failure(&course, &instance, &provider).await.is_some());
    let instance = half_open(&pool).await;
    assert!(failure(&course, &instance, &provider).await.is_some());
    assert_eq!(state(&pool).await.open_until, None, "it answered");
}

#[tokio::test]
async fn a_request_that_its_caller_cut_off_counts_only_if_the_provider_had_a_fair_time() {
    let pool = pool().await;
    let provider = Metered::new(Limits::unlimited(10));
    let hour = Duration::from_secs(3_600);
    let soon = Impatient {
        waits: Duration::from_millis(50),
        ..Impatient::new(&pool)
    };
    let late = Impatient {
        waits: Duration::from_millis(5_100),
        ..Impatient::new(&pool)
    };

    // Three failures, and as many requests that were cut off early.
    let instance = Instance::default();
    provider.will((0..3).map(|_| Act::Fails(provider.away())));
    provider.will((0..3).map(|_| Act::Takes(hour)));
    for _ in 0..3 {
        assert!(failure(&soon, &instance, &provider).await.is_some());
    }
    for _ in 0..3 {
        assert!(ask(&soon, &instance, &provider).await.is_err());
    }
    assert_eq!(state(&pool).await.failures, 3);

    // Two that had their time.
    provider.will((0..2).map(|_| Act::Takes(hour)));
    let cut_off = (0..2).map(|_| ask(&late, &instance, &provider));
    for asked in join_all(cut_off).await {
        assert!(asked.is_err());
    }
    let open = state(&pool).await;
    assert!(open.open_until.is_some());
    assert_eq!(
        open.reason.as_deref(),
        Some("metered did not answer within 5 s")
    );

    // A probe that was cut off early gives way to the next one at once.
    let instance = half_open(&pool).await;
    provider.will([Act::Takes(hour)]);
    assert!(ask(&soon, &instance, &provider).await.is_err());
    assert_eq!(failure(&soon, &Instance::default(), &provider).await, None);
    assert_eq!(state(&pool).await.open_until, None);
}

#[tokio::test]
async fn a_caller_that_goes_on_with_another_provider_cuts_the_request_off_as_well() {
    let pool = pool().await;
    let provider = Metered::new(Limits::unlimited(10));
    let instance = Instance::default();
    let leaves_after = |milliseconds| Impatient {
        waits: Duration::from_millis(milliseconds),
        goes_on: true,
        ..Impatient::new(&pool)
    };

    provider.will((0..11).map(|_| Act::Takes(Duration::from_secs(3_600))));
    let (soon, late) = (leaves_after(50), leaves_after(5_100));
    for _ in 0..6 {
        let left = failure(&soon, &instance, &provider).await;
        assert_eq!(left, Some(provider.timed_out()));
    }
    let states = provider_states(&pool).await.unwrap();
    assert!(states.iter().all(|state| state.failures == 0), "{states:?}");

    let cut_off = (0..5).map(|_| failure(&late, &instance, &provider));
    assert!(join_all(cut_off).await.iter().all(Option::is_some));
    assert!(state(&pool).await.open_until.is_some(), "it was silent");
}

#[tokio::test]
async fn a_health_check_that_gives_up_early_is_not_a_failure_of_the_provider() {
    let pool = pool().await;
    let provider = Metered::new(Limits::unlimited(10));
    let instance = Instance::default();

    provider.will((0..6).map(|_| Act::Takes(Duration::from_secs(3_600))));
    let checks = (0..6).map(|_| probe(&pool, &instance, &provider));
    for checked in join_all(checks).await {
        let error = checked.expect_err("as in every test").to_string();
        assert_eq!(error, "metered is not available: no answer within 3 s");
    }

    let states = provider_states(&pool).await.unwrap();
    assert!(states.iter().all(|state| state.open_until.is_none()));
    assert_eq!(probe(&pool, &instance, &provider).await, Ok(()));
}

#[tokio::test]
async fn an_instance_has_no_more_requests_open_than_the_provider_takes_at_a_time() {
    let pool = pool().await;
    let limits = Limits {
        max_concurrent: 3,
        ..Limits::unlimited(10)
    };
    let provider = Metered::new(limits);
    let (course, instance) = (Impatient::new(&pool), Instance::default());

    provider.will((0..12).map(|_| Act::Takes(Duration::from_millis(100))));
    let asking = (0..12).map(|_| failure(&course, &instance, &provider));
    assert!(join_all(asking).await.iter().all(Option::is_none));
    assert_eq!(provider.most_open.load(Ordering::SeqCst), 3);

    // A caller that cannot wait for a place is told so, and it is not the provider's failure.
    let hurried = Impatient {
        waits: Duration::from_millis(200),
        ..Impatient::new(&pool)
    };
    provider.will((0..3).map(|_| Act::Takes(Duration::from_secs(2))));
    let asking = (0..3).map(|_| failure(&course, &instance, &provider));
    let (asked, turned_away) = tokio::join!(join_all(asking), async {
        until("requests", Duration::from_secs(10), async || {
            (provider.asked() == 15).then_some(())
        })
        .await;
        failure(&hurried, &instance, &provider).await
    });
    assert!(asked.iter().all(Option::is_none));
    assert!(
        matches!(turned_away, Some(ProviderError::Paused { .. })),
        "{turned_away:?}"
    );
    assert_eq!(
        failure(&course, &instance, &provider).await,
        None,
        "the places are free"
    );
}

#[tokio::test]
async fn successes_of_requests_admitted_before_a_failure_end_the_failures_in_a_row() {
    let pool = pool().await;
    let (course, instance) = (Impatient::new(&pool), Instance::default());
    let provider = Metered::new(Limits::unlimited(10));

    for _ in 0..4 {
        provider.will([
            Act::Takes(Duration::from_millis(300)),
            Act::Fails(provider.away()),
        ]);
        let (one, other) = tokio::join!(
            failure(&course, &instance, &provider),
            failure(&course, &instance, &provider)
        );
        assert!(one.is_some() != other.is_some(), "{one:?} {other:?}");
        assert_eq!(state(&pool).await.failures, 0);
    }
}

#[tokio::test]
async fn each_redirection_counts_as_a_request_also_if_nothing_comes_of_it() {
    let pool = pool().await;
    let (course, instance) = (Impatient::new(&pool), Instance::default());
    let provider = Metered::new(per_minute(20));

    provider.will([Act::SendsElsewhere(3)]);
    let failed = failure(&course, &instance, &provider).await;
    assert_eq!(failed, Some(provider.away()));
    assert_eq!(state(&pool).await.taken_now[1], 1 + 3);

    assert_eq!(failure(&course, &instance, &provider).await, None);
    assert_eq!(state(&pool).await.taken_now[1], 5, "they are counted once");
}

#[tokio::test]
async fn the_second_request_for_an_answer_passes_the_gate_itself_and_both_share_the_time_of_one() {
    let pool = pool().await;
    let (course, undecided) = (Impatient::new(&pool), Act::IsUndecided);
    let provider = Metered::new(per_minute(5));

    provider.will([undecided(Duration::ZERO)]);
    let first = failure(&course, &Instance::default(), &provider).await;
    assert_eq!((first, provider.asked()), (None, 2));
    assert_eq!(state(&pool).await.taken_now[1], 2);

    // Each alone takes less than ten seconds.
    let half = Duration::from_secs(6);
    provider.will([undecided(half), Act::Takes(half)]);
    let late = failure(&course, &Instance::default(), &provider).await;
    assert_eq!((late, provider.asked()), (Some(provider.timed_out()), 4));

    provider.will([undecided(Duration::ZERO)]);
    let empty = failure(&course, &Instance::default(), &provider).await;
    assert!(
        matches!(empty, Some(ProviderError::Paused { .. })),
        "{empty:?}"
    );
    assert_eq!(provider.asked(), 5, "there was no token for a second one");
}
