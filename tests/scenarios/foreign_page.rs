//! A page of another site that makes a visitor's browser send requests to a stack on the visitor's
//! machine.

use e2e::stack::Stack;

#[tokio::test]
async fn a_page_of_another_site_makes_no_job_whatever_it_calls_its_body() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/prices/poll", stack.ready.url);

    let post = async |headers: &[(&str, &str)]| {
        let body = r#"{"symbols":["AAPL"],"interval":60,"provider":"replay"}"#;

        let request = headers
            .iter()
            .fold(client.post(&url), |request, (name, value)| {
                request.header(*name, *value)
            });

        request.body(body).send().await.unwrap().status().as_u16()
    };

    let (text, json) = (
        ("content-type", "text/plain"),
        ("content-type", "application/json"),
    );
    let evil = ("origin", "https://evil.example");

    assert_eq!(post(&[text, evil]).await, 403);
    assert_eq!(
        post(&[json, evil, ("sec-fetch-site", "cross-site")]).await,
        403
    );
    assert_eq!(post(&[json, ("origin", "null")]).await, 403);
    assert_eq!(post(&[text]).await, 415);
    assert_eq!(post(&[]).await, 415);

    assert_eq!(
        stack.get("/prices/poll").await.1["items"],
        serde_json::json!([]),
        "no job was made"
    );

    assert_eq!(
        post(&[
            json,
            ("origin", &stack.ready.url),
            ("sec-fetch-site", "same-origin")
        ])
        .await,
        202
    );
    assert_eq!(post(&[json]).await, 202);
}
