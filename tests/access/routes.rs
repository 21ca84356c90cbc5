//! What each route needs.

use serde_json::Value;
use shared::access::Scope;

use crate::guarded::{Guarded, Through};

/// The routes of the contract that need no key.
const OPEN: [&str; 7] = [
    "/",
    "/page/{version}/{folder}/{file}",
    "/docs",
    "/docs/{file}",
    "/openapi.json",
    "/llms.txt",
    "/health",
];

/// The operations of the contract: method and path.
async fn operations(api: &Guarded) -> Vec<(String, String)> {
    let contract = api.get(Through::Aws, "/openapi.json", None).await.json();
    let paths = contract["paths"].as_object().unwrap().iter();

    paths
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

/// A path with something in place of its parameters.
fn filled(path: &str) -> String {
    path.replace("{file}", "start.js")
        .replace("{job_id}", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
        .replace("{run_id}", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
        .replace("{id}", "1")
}

#[tokio::test]
async fn every_route_but_the_open_ones_needs_a_key() {
    let api = Guarded::start().await;
    let operations = operations(&api).await;
    assert!(operations.len() > 15, "{operations:?}");

    for (method, path) in operations {
        let answered = api.send(Through::Aws, &method, &filled(&path), &[]).await;
        if OPEN.contains(&path.as_str()) {
            assert_ne!(answered.status, 401, "{method} {path}");
        } else {
            answered.assert_problem(401, "no-api-key-made");
        }
    }
}

#[tokio::test]
async fn a_scope_lets_in_what_it_includes_and_the_problem_names_what_is_missing() {
    let api = Guarded::start().await;
    let keys = [
        (Scope::Read, api.key(Scope::Read).await),
        (Scope::Write, api.key(Scope::Write).await),
        (Scope::Admin, api.key(Scope::Admin).await),
    ];
    let contract = api.get(Through::Aws, "/openapi.json", None).await.json();

    for (method, path) in operations(&api).await {
        let operation = &contract["paths"][&path][method.to_lowercase()];
        let needed = &operation["security"][1]["bearer"][0];
        let Some(needed) = needed.as_str().filter(|_| path != "/health") else {
            assert!(OPEN.contains(&path.as_str()), "{method} {path}");
            continue;
        };
        let needed: Scope = needed.parse().unwrap();

        for (scope, key) in &keys {
            let key = key.expose();
            let headers = [("x-api-key", key.as_str())];
            let answered = api
                .send(Through::Aws, &method, &filled(&path), &headers)
                .await;

            if scope.includes(needed) {
                assert!(
                    ![401, 403].contains(&answered.status),
                    "{method} {path} {scope}"
                );
            } else {
                answered.assert_problem(403, "wrong-scope");
                let detail = answered.json()["detail"].as_str().unwrap().to_owned();
                assert!(
                    detail.contains(&format!("needs the scope {needed}")),
                    "{detail}"
                );
                assert!(detail.contains("tester"), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn health_tells_strangers_the_status_only() {
    let api = Guarded::start().await;
    let key = api.key(Scope::Read).await;
    let fields = |answered: Value| -> Vec<String> {
        answered.as_object().unwrap().keys().cloned().collect()
    };

    let stranger = api.get(Through::Aws, "/health", None).await;
    assert_eq!(fields(stranger.json()), ["status"]);

    for (through, key) in [
        (Through::Aws, Some(&key)),
        (Through::Loopback, None),
        (Through::Network, None),
    ] {
        let told = api.get(through, "/health", key).await;
        assert_eq!(
            fields(told.json()),
            ["checks", "default_provider", "status"],
            "{through:?}"
        );
    }
}
