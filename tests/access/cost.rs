//! What keys and limits cost: round trips to Postgres.

use e2e::round_trips::RoundTrips;
use shared::access::{Key, Scope};
use shared::repository;

use crate::guarded::{Guarded, Through};

/// The round trips of this many requests.
async fn trips(counted: &RoundTrips, api: &Guarded, key: Option<&Key>, requests: usize) -> usize {
    let before = counted.made();
    for _ in 0..requests {
        let answered = api.get(Through::Loopback, "/symbols", key).await;
        assert_eq!(answered.status, 200, "{answered:?}");
    }
    counted.made() - before
}

#[tokio::test]
async fn a_known_key_costs_no_statement_and_a_busy_one_with_limits_less_than_one_each() {
    let url = e2e::postgres::database_url().await.unwrap();
    let counted = RoundTrips::to(&url).await.unwrap();
    let api = Guarded::over(repository::connect(counted.url(), 1).unwrap());

    trips(&counted, &api, None, 1).await;
    let without_keys = trips(&counted, &api, None, 40).await;

    let other = repository::connect(&url, 1).unwrap();
    let maker = Guarded::over(other);
    let unlimited = maker.key(Scope::Read).await;
    let limited = maker.key_with(Scope::Read, "60000/min").await;

    // The use of a key is noted meanwhile.
    trips(&counted, &api, Some(&unlimited), 5).await;
    let with_key = trips(&counted, &api, Some(&unlimited), 40).await;
    // A connection that has rested is tried before its use.
    assert!(
        with_key <= without_keys + 3,
        "{with_key}, without {without_keys}"
    );

    trips(&counted, &api, Some(&limited), 5).await;
    let with_limits = trips(&counted, &api, Some(&limited), 40).await;
    assert!(
        with_limits < without_keys + 40,
        "{with_limits}, without {without_keys}"
    );
}
