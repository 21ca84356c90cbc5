//! The contract is complete, and its page needs nothing from other sites.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::Value;

use crate::fixture::Fixture;

pub(crate) async fn contract(api: &Fixture) -> Value {
    let answered = api.get("/openapi.json").await;
    assert_eq!(answered.status, StatusCode::OK);
    assert_eq!(answered.header("content-type"), "application/json");
    answered.json()
}

#[tokio::test]
async fn every_path_of_the_router_is_in_the_contract_and_the_other_way_round() {
    let api = Fixture::new();

    // The wildcard belongs to the fallback, which answers 404. It has `/` too, which is the page.
    let debug = format!("{:?}", api.router);
    let routed: BTreeSet<&str> = debug
        .split('"')
        .filter(|text| text.starts_with('/') && !text.contains('*'))
        .collect();

    let contract = contract(&api).await;
    let documented: BTreeSet<&str> = contract["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();

    assert!(
        routed.contains("/prices/latest"),
        "the router no longer shows its paths: {debug}"
    );
    assert_eq!(routed, documented);
}

#[tokio::test]
async fn every_method_of_a_path_is_in_the_contract_and_the_other_way_round() {
    let api = Fixture::new();
    for (path, operations) in contract(&api).await["paths"].as_object().unwrap() {
        let mut documented: Vec<String> = operations
            .as_object()
            .unwrap()
            .keys()
            .map(|m| m.to_uppercase())
            .collect();

        let refused = api.send("PUT", &path.replace(['{', '}'], ""), "").await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");

        let mut routed: Vec<String> = refused
            .header("allow")
            .split(',')
            .map(|m| m.trim().to_owned())
            .collect();
        routed.retain(|method| method != "HEAD");

        documented.sort();
        routed.sort();
        assert_eq!(routed, documented, "{path}");
    }
}

#[tokio::test]
async fn every_operation_lists_its_problems_and_every_reference_resolves() {
    let contract = contract(&Fixture::new()).await;
    assert_eq!(contract["openapi"].as_str().unwrap()[..4], *"3.1.");

    for (path, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            let problem =
                &responses["500"]["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(problem, "#/components/schemas/Problem", "{method} {path}");

            for response in responses.values() {
                assert!(
                    response["description"].is_string(),
                    "{method} {path}: {response}"
                );
            }
        }
    }

    let text = contract.to_string();

    for reference in text
        .split("\"$ref\":\"#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(contract.pointer(reference).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_page_loads_only_files_that_are_served_here() {
    let api = Fixture::new();
    let page = api.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");

    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );

    let page = String::from_utf8(page.body).unwrap();

    let mut links = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        links.extend(
            page.split(attribute)
                .skip(1)
                .filter_map(|rest| rest.split('"').next()),
        );
    }

    // The page at `/`, and a place on this one.
    links.retain(|link| *link != "./" && !link.starts_with('#'));
    assert_eq!(links.len(), 9);

    for link in links {
        assert_eq!(
            api.get(&format!("/{link}")).await.status,
            StatusCode::OK,
            "{link}"
        );
    }

    let styles = String::from_utf8(api.get("/docs/swagger-ui.css").await.body).unwrap();
    assert!(
        !styles.contains("@import") && !styles.contains("url(http") && !styles.contains("url(//")
    );
}
