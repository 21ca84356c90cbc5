//! Requests that no handler answers get a problem too.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::fixture::Fixture;

#[tokio::test]
async fn an_unknown_path_is_a_404_problem_that_names_it() {
    let api = Fixture::new();
    for (path, shown) in [
        ("/prices?symbol=AAPL", "/prices;"),
        ("/prices/latest/", "/prices/latest/;"),
        ("/prices/poll/1/2", "/prices/poll/1/2;"),
        ("/docs/other.js", "/docs/other.js;"),
        ("/docs/..%2fstart.js", "/docs/../start.js;"),
        ("/page/x/app/other.js", "/page/x/app/other.js;"),
        ("/page/x/..%2fapp/main.js", "/page/x/../app/main.js;"),
    ] {
        let answered = api.get(path).await;
        assert_eq!(answered.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answered.places().is_empty());

        let detail = answered.json()["detail"].to_string();
        assert!(
            detail.contains(&format!("nothing at {shown}")),
            "{path}: {detail}"
        );
    }

    let long = api.get(&format!("/{}", "x".repeat(5_000))).await;
    assert!(
        (200..300).contains(&long.json()["detail"].as_str().unwrap().len()),
        "a long path is cut"
    );
}

#[tokio::test]
async fn a_wrong_method_is_a_405_problem_that_says_which_are_right() {
    let api = Fixture::new();
    for (method, path, allowed) in [
        ("POST", "/prices/latest", "GET,HEAD"),
        ("DELETE", "/prices/poll", "POST,GET,HEAD"),
        (
            "PUT",
            "/prices/poll/6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
            "GET,HEAD,PATCH,DELETE",
        ),
    ] {
        let answered = api.send(method, path, "").await;

        assert_eq!(
            answered.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert!(answered.places().is_empty());

        let sorted = |list: &str| {
            let mut methods: Vec<_> = list.split(',').map(str::trim).map(str::to_owned).collect();
            methods.sort();
            methods
        };

        assert_eq!(
            sorted(answered.header("allow")),
            sorted(allowed),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413_problem_on_every_path() {
    let api = Fixture::new();
    for (method, path) in [
        ("POST", "/prices/poll"),
        ("GET", "/symbols"),
        ("POST", "/nothing"),
    ] {
        let answered = api.send(method, path, vec![b' '; 1_000_001]).await;

        assert_eq!(
            answered.status,
            StatusCode::PAYLOAD_TOO_LARGE,
            "{method} {path}"
        );
        assert!(answered.places().is_empty());
    }

    assert_eq!(
        api.poll(&" ".repeat(1_000_000)).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_body_over_the_limit_that_declares_no_size_is_a_413_problem_once_it_is_read() {
    let request = Request::post("/prices/poll")
        .header("content-type", "application/json")
        .body(Body::from(vec![b' '; 1_000_001]))
        .expect("a request");
    let answered = Fixture::new().answer(request).await;

    assert_eq!(answered.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answered.places().is_empty());
}

#[tokio::test]
async fn a_panic_is_a_500_problem_that_tells_nothing_of_it() {
    let answered = Fixture::with_panicking_providers().get("/health").await;

    assert_eq!(answered.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answered.places().is_empty());
    assert_eq!(
        answered.json()["detail"],
        "something went wrong on our side"
    );
}

#[tokio::test]
async fn the_example_events_are_requests_that_the_router_knows() {
    let api = Fixture::new();
    for (event, status) in [
        // Every part behind the api is unavailable here.
        (
            include_str!("../../../../events/api-latest.json"),
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        (
            include_str!("../../../../events/api-poll.json"),
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        (
            include_str!("../../../../events/api-unknown-path.json"),
            StatusCode::NOT_FOUND,
        ),
    ] {
        let request = lambda_http::request::from_str(event).unwrap();
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().unwrap().to_string();

        let answered = api.send(head.method.as_str(), &path, body.to_vec()).await;
        assert_eq!(answered.status, status, "{path}");
    }
}
