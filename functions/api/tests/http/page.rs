//! The page at `GET /` is whole, compressed, strictly guarded, and kept as long as it may be.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::fixture::{Answered, Fixture};

async fn ask(api: &Fixture, path: &str, headers: &[(&str, &str)]) -> Answered {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.answer(request.body(Body::empty()).expect("a request"))
        .await
}

/// The addresses of the files that the page names.
async fn files(api: &Fixture) -> Vec<String> {
    let page = api.get("/").await;
    let text = String::from_utf8(page.body).expect("the page is text");
    text.split('"')
        .filter(|text| text.starts_with("page/"))
        .map(|text| format!("/{text}"))
        .collect()
}

#[tokio::test]
async fn the_page_and_its_files_are_served_under_a_policy_without_inline_code_or_other_hosts() {
    let api = Fixture::new();
    let mut all = files(&api).await;
    assert!(all.len() > 20, "{all:?}");
    all.push("/".to_owned());

    for path in all {
        let answered = api.get(&path).await;
        assert_eq!(answered.status, StatusCode::OK, "{path}");
        assert_eq!(answered.header("x-content-type-options"), "nosniff");

        let policy = answered.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert!(!policy.contains("http"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn the_document_is_confirmed_at_each_visit_and_its_files_are_kept_for_a_year() {
    let api = Fixture::new();
    let file = files(&api).await.remove(0);
    let document = api.get("/").await;

    assert_eq!(document.header("cache-control"), "public, no-cache");
    assert_eq!(
        api.get(&file).await.header("cache-control"),
        "public, max-age=31536000, immutable"
    );

    let again = [("if-none-match", document.header("etag"))];
    let unchanged = ask(&api, "/", &again).await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    assert_eq!(
        unchanged.header("content-security-policy"),
        document.header("content-security-policy")
    );
}

#[tokio::test]
async fn a_file_of_another_version_is_answered_and_not_kept() {
    let api = Fixture::new();
    let other = api.get("/page/another/app/main.js").await;

    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(other.header("cache-control"), "public, no-cache");
}

#[tokio::test]
async fn compressed_files_have_a_tag_of_their_own_and_are_far_smaller() {
    let api = Fixture::new();
    let path = "/page/x/vendor/lightweight-charts.js";
    let plain = ask(&api, path, &[]).await;
    let compressed = ask(&api, path, &[("accept-encoding", "br, gzip")]).await;

    assert_eq!(compressed.header("content-encoding"), "gzip");
    assert_eq!(compressed.header("vary"), "accept-encoding, origin");
    assert_ne!(compressed.header("etag"), plain.header("etag"));
    assert!(compressed.header("etag").starts_with('"'), "a strong tag");
    assert!(compressed.body.len() * 3 < plain.body.len());
}
