//! What a request costs at the gate of its provider.

use std::time::{Duration, Instant};

use chrono::Utc;
use e2e::round_trips::RoundTrips;
use e2e::waiting::until;
use futures::future::join_all;
use shared::acquisition::{Instance, Wish, acquire};
use shared::provider::ProviderError;
use shared::repository;
use sqlx::PgPool;

use crate::metered::{Act, Impatient, Metered, failure, per_minute, pool};
use crate::world::symbols;

/// A pool as the functions use it, and the round trips of its connections.
async fn counted() -> (RoundTrips, PgPool) {
    let url = e2e::postgres::database_url()
        .await
        .expect("as in every test");
    let trips = RoundTrips::to(&url).await.expect("as in every test");
    let pool = repository::connect(trips.url(), 1).expect("as in every test");
    (trips, pool)
}

#[tokio::test]
async fn no_round_trip_is_made_for_the_budget_while_the_instance_holds_tokens() {
    const REQUESTS: usize = 2_000;

    let (trips, pool) = counted().await;
    let (course, instance) = (Impatient::new(&pool), Instance::default());
    let provider = Metered::new(per_minute(600_000));

    let began = Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(failure(&course, &instance, &provider).await, None);
    }

    let (took, made) = (began.elapsed(), trips.made());
    println!("{REQUESTS} requests: {made} round trips, {took:?} in all");
    // The tokens taken ahead double until they are a second's worth, and expire after a second.
    // Each statement is one round trip, and the pool tests the connection before and after it.
    let seconds = usize::try_from(took.as_secs()).expect("as in every test");
    let statements = 12 + 12 * (seconds + 1);
    assert!(made <= 3 * statements, "{made} in {took:?}");
    assert_eq!(provider.asked(), REQUESTS);
}

/// If each asked for itself, some would find the budget empty that others hold.
#[tokio::test]
async fn requests_at_the_same_time_use_what_one_of_them_took_ahead() {
    const LIMIT: usize = 60;

    let pool = pool().await;
    let (course, instance) = (Impatient::new(&pool), Instance::default());
    let provider = Metered::new(per_minute(60));

    // Tokens are taken ahead as soon as there were several requests in a second.
    for _ in 0..4 {
        assert_eq!(failure(&course, &instance, &provider).await, None);
    }
    let asking = (4..LIMIT).map(|_| failure(&course, &instance, &provider));
    let refused: Vec<_> = join_all(asking).await.into_iter().flatten().collect();

    // On a busy machine a few of the tokens are a second old before their turn comes. If each asked
    // for itself, a fifth of the requests would be refused.
    assert!(refused.len() <= 4, "{}: {refused:?}", refused.len());
}

#[tokio::test]
async fn a_shared_fetch_costs_a_claim_and_a_release_and_nothing_for_the_budget_it_holds() {
    let (trips, pool) = counted().await;
    let (course, instance) = (Impatient::new(&pool), Instance::default());
    let provider = Metered::new(per_minute(600_000));
    for _ in 0..20 {
        assert_eq!(failure(&course, &instance, &provider).await, None);
    }

    // Whatever the connections are still tested for is done when the number stays.
    let mut before = usize::MAX;
    until("rest", Duration::from_secs(10), async || {
        let is_at_rest = before == trips.made();
        before = trips.made();
        is_at_rest.then_some(())
    })
    .await;

    let wish = Wish {
        at: Utc::now(),
        accepts: Some(Utc::now()),
    };
    for name in ["AAPL", "MSFT", "IBM"] {
        // The tokens that it holds may be a second old.
        assert_eq!(failure(&course, &instance, &provider).await, None);
        let symbols = symbols(&[name]);
        let acquired = acquire(&course, &instance, &provider, &symbols, wish).await;
        assert_eq!(acquired.expect("as in every test").failure, None);
    }

    // A claim, a release, and each time the test of the connection before and after. A connection
    // opened anew, or a statement prepared for the first time, costs more.
    until("release", Duration::from_secs(10), async || {
        (trips.made() >= before + 3 * 6).then_some(())
    })
    .await;
    let made = trips.made() - before;
    println!("3 shared fetches: {made} round trips");
    assert!(made <= 3 * 6 + 3 * 3 + 4, "{made}");
}

#[tokio::test]
async fn a_closed_door_is_remembered_for_a_second_and_costs_neither_statement_nor_lock() {
    let (trips, pool) = counted().await;
    let direct = pool.clone();
    let (course, instance) = (Impatient::new(&pool), Instance::default());
    let provider = Metered::new(per_minute(1));
    let pause = Some(Duration::from_secs(600));

    assert_eq!(failure(&course, &instance, &provider).await, None);
    let before = trips.made();
    for _ in 0..300 {
        let empty = failure(&course, &instance, &provider).await.unwrap();
        let told = empty.to_string();
        assert!(
            told.ends_with("our budget of requests to it for this minute is used up"),
            "{told}"
        );
    }
    println!("empty: {} round trips", trips.made() - before);
    assert!(trips.made() - before < 60, "{}", trips.made() - before);

    // Nor does a request wait for whoever holds the row.
    sqlx::query("delete from request_budgets")
        .execute(&pool)
        .await
        .unwrap();
    let instance = Instance::default();
    provider.will([Act::Fails(provider.limit(pause))]);
    assert!(failure(&course, &instance, &provider).await.is_some());
    let url = trips.url().to_owned();
    let locking = repository::connect(&url, 1).unwrap();
    let mut lock = locking.begin().await.unwrap();
    sqlx::query("select from request_budgets for update")
        .execute(&mut *lock)
        .await
        .unwrap();
    for instance in [Instance::default(), Instance::default()] {
        let asked = failure(&course, &instance, &provider);
        let asked = tokio::time::timeout(Duration::from_secs(20), asked).await;
        assert!(
            matches!(asked, Ok(Some(ProviderError::Paused { .. }))),
            "{asked:?}"
        );
    }
    drop(direct);
    assert_eq!(provider.asked(), 2);
}
