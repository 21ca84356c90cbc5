//! The field `market_hours` of jobs, over HTTP. The provider `quoter` does not tell when markets are
//! open, and those of `spare` never close.

use serde_json::{Value, json};

use crate::fixture::{Answered, Api};

async fn post(api: &Api, body: Value) -> Answered {
    api.send("POST", "/prices/poll", body.to_string()).await
}

/// Asserts that the answer is the 422 that names the providers with market hours.
fn assert_refused(answered: &Answered) {
    let problem = answered.json();
    assert_eq!(answered.status, 422, "{problem}");
    assert_eq!(
        problem["errors"],
        json!([{
            "location": "body.market_hours",
            "message": "cannot be true: quoter does not tell when markets are open; name one of these first: spare"
        }])
    );
}

#[tokio::test]
async fn a_job_says_whether_it_has_market_hours() {
    let api = Api::start().await;
    let body = json!({"symbols": ["A"], "interval": 60, "provider": "spare", "market_hours": true});
    let created = post(&api, body).await;
    assert_eq!(created.status, 202, "{}", created.text);
    assert_eq!(created.json()["config"]["market_hours"], true);

    let path = created.location.expect("a location");
    assert_eq!(api.get(&path).await.json()["config"]["market_hours"], true);

    let change = json!({"market_hours": null}).to_string();
    let changed = api.send("PATCH", &path, change).await;
    assert_eq!(changed.json()["config"]["market_hours"], false);

    let without = post(&api, json!({"symbols": ["A"]})).await;
    assert_eq!(without.json()["config"]["market_hours"], false);
}

#[tokio::test]
async fn market_hours_need_a_first_provider_that_tells_them() {
    let api = Api::start().await;
    for provider in [json!(null), json!("quoter"), json!("quoter,spare")] {
        let body = json!({"symbols": ["A"], "provider": provider, "market_hours": true});
        assert_refused(&post(&api, body).await);
    }
    let listed = json!({"symbols": ["A"], "provider": "spare,quoter", "market_hours": true});
    let created = post(&api, listed).await;
    assert_eq!(created.status, 202, "{}", created.text);

    // A change must leave a job that may have them.
    let path = created.location.expect("a location");
    let other = json!({"provider": "quoter"}).to_string();
    assert_refused(&api.send("PATCH", &path, other).await);
    let both = json!({"provider": "quoter", "market_hours": false}).to_string();
    assert_eq!(api.send("PATCH", &path, both).await.status, 200);
    let alone = json!({"market_hours": true}).to_string();
    assert_refused(&api.send("PATCH", &path, alone).await);
}

#[tokio::test]
async fn market_hours_are_true_or_false() {
    let api = Api::start().await;
    for value in [json!(1), json!("true"), json!([])] {
        let body = json!({"symbols": ["A"], "provider": "spare", "market_hours": value});
        let refused = post(&api, body).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert_eq!(
            refused.json()["detail"],
            "body.market_hours must be true or false"
        );
    }
}

#[tokio::test]
async fn a_key_tells_requests_with_and_without_market_hours_apart() {
    let api = Api::start().await;
    let send = async |market_hours: bool| {
        let body = json!({"symbols": ["A"], "provider": "spare", "market_hours": market_hours});
        let key = [("idempotency-key", "one")];
        let body = body.to_string();
        api.send_with("POST", "/prices/poll", body, &key)
            .await
            .status
    };
    assert_eq!(send(true).await, 202);
    assert_eq!(send(false).await, 422);
    assert_eq!(send(true).await, 202);
}
