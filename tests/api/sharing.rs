//! Requests that want the same quote at the same time cost one request to the provider.

use std::time::Duration;

use futures::future::join_all;

use crate::fixture::Api;

/// With more time between polling and sharing a quote than a busy machine takes for a test.
const PATH: &str = "/prices/latest?symbol=AAPL&max_age=60";

async fn all_answer(apis: &[Api], path: &str, requests: usize) -> usize {
    let asking = (0..requests).map(|number| apis[number % apis.len()].get(path));
    for answered in join_all(asking).await {
        assert_eq!(answered.status, 200, "{}", answered.text);
        assert_eq!(answered.json()["price"], 101, "{}", answered.text);
    }

    apis.iter().map(|api| api.quoter.asked().len()).sum()
}

#[tokio::test]
async fn twenty_concurrent_requests_to_one_instance_cost_one_call() {
    let api = Api::start().await;
    api.quoter.will_take(Duration::from_millis(300));

    assert_eq!(all_answer(&[api], PATH, 20).await, 1);
}

#[tokio::test]
async fn twenty_concurrent_requests_to_several_instances_cost_one_call() {
    let first = Api::start().await;
    let pool = first.pool.clone();
    let apis = [first, Api::over(pool.clone()).await, Api::over(pool).await];
    for api in &apis {
        api.quoter.will_take(Duration::from_millis(300));
    }

    assert_eq!(all_answer(&apis, PATH, 20).await, 1);
    assert_eq!(
        all_answer(&apis, PATH, 3).await,
        1,
        "within max_age, although the averager has stored nothing"
    );
}

/// The lease alone is shorter than the provider takes.
#[tokio::test]
async fn a_slow_provider_is_asked_once_by_several_instances() {
    let first = Api::start().await;
    let pool = first.pool.clone();
    let apis = [first, Api::over(pool.clone()).await, Api::over(pool).await];
    for api in &apis {
        api.quoter.will_take(Duration::from_secs(6));
    }

    assert_eq!(all_answer(&apis, PATH, 9).await, 1);
}

#[tokio::test]
async fn a_holder_that_ended_delays_the_others_by_its_lease_only() {
    let api = Api::start().await;
    sqlx::query(
        "insert into fetch_leases (provider, symbol, holder, lease_until)
         values ('quoter', 'AAPL', gen_random_uuid(), now() + interval '2 seconds')",
    )
    .execute(&api.pool)
    .await
    .unwrap();

    assert_eq!(all_answer(&[api], PATH, 3).await, 1);
}

#[tokio::test]
async fn a_request_with_max_age_0_asks_in_any_case() {
    let api = Api::start().await;
    for number in 1..4 {
        api.get("/prices/latest?symbol=AAPL&max_age=0").await;
        assert_eq!(api.quoter.asked().len(), number);
    }
}

#[tokio::test]
async fn a_failed_fetch_leaves_no_lease_behind() {
    let api = Api::start().await;
    api.quoter
        .will_fail(shared::provider::ProviderError::TimedOut {
            provider: "quoter".parse().unwrap(),
        });
    assert_eq!(api.get(PATH).await.status, 503);

    let held: i64 =
        sqlx::query_scalar("select count(*) from fetch_leases where lease_until > now()")
            .fetch_one(&api.pool)
            .await
            .unwrap();
    assert_eq!(held, 0);
    assert_eq!(api.get(PATH).await.status, 200);
}

#[tokio::test]
async fn a_failure_is_shared_with_those_who_waited_and_who_comes_later_asks() {
    let first = Api::start().await;
    let pool = first.pool.clone();
    let apis = [first, Api::over(pool.clone()).await, Api::over(pool).await];
    for api in &apis {
        // All of them are waiting by then, also on a busy machine.
        api.quoter.will_take(Duration::from_secs(3));
        api.quoter
            .will_fail(shared::provider::ProviderError::Unavailable {
                provider: "quoter".parse().unwrap(),
                reason: "as told".to_owned(),
            });
    }

    let asking = (0..12).map(|number| apis[number % 3].get(PATH));
    for answered in join_all(asking).await {
        assert!(answered.text.contains("as told"), "{}", answered.text);
    }
    let asked = || apis.iter().map(|api| api.quoter.asked().len()).sum();
    let calls: usize = asked();
    assert_eq!(calls, 1);

    apis[0].get(PATH).await;
    let calls: usize = asked();
    assert_eq!(calls, 2, "the failure is not told to who did not wait");
}
