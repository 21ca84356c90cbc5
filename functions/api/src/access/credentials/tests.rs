use axum::body::Body;

use super::*;

fn key() -> Key {
    Key::from_random(0..=255).unwrap()
}

fn other() -> Key {
    Key::from_random((0..=255).rev()).unwrap()
}

fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn of_headers(headers: &[(&str, &str)]) -> Credentials {
    Credentials::take(&mut request("/symbols", headers), false)
}

#[test]
fn a_key_comes_in_either_header_or_in_both_if_they_agree() {
    let text = key().expose();
    let bearer = format!("Bearer {text}");
    let lower = format!("bearer  {text}");

    for headers in [
        &[("authorization", bearer.as_str())][..],
        &[("authorization", lower.as_str())],
        &[("x-api-key", text.as_str())],
        &[("X-API-KEY", text.as_str())],
        &[
            ("authorization", bearer.as_str()),
            ("x-api-key", text.as_str()),
        ],
    ] {
        assert_eq!(
            of_headers(headers),
            Credentials::Key(key(), Place::Header),
            "{headers:?}"
        );
    }
    assert_eq!(of_headers(&[("accept", "text/csv")]), Credentials::None);
}

#[test]
fn headers_that_differ_or_come_joined_or_in_another_scheme_are_no_key() {
    let (text, other) = (key().expose(), other().expose());
    let (bearer, joined) = (format!("Bearer {text}"), format!("{text},{text}"));
    let joined_bearer = format!("{bearer},{bearer}");
    let (basic, misspelt) = (format!("Basic {text}"), text.to_lowercase());

    for headers in [
        &[
            ("authorization", bearer.as_str()),
            ("x-api-key", other.as_str()),
        ][..],
        &[("x-api-key", text.as_str()), ("x-api-key", other.as_str())],
        &[("authorization", bearer.as_str()), ("x-api-key", "")],
        &[("authorization", basic.as_str())],
        &[
            ("authorization", basic.as_str()),
            ("x-api-key", text.as_str()),
        ],
        &[("authorization", text.as_str())],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer ")],
        &[("authorization", joined_bearer.as_str())],
        &[("x-api-key", joined.as_str())],
        &[("x-api-key", misspelt.as_str())],
        &[("x-api-key", "")],
        &[("x-api-key", "ä")],
    ] {
        assert_eq!(of_headers(headers), Credentials::Malformed, "{headers:?}");
    }
}

#[test]
fn a_key_in_the_query_counts_only_if_that_is_switched_on_and_is_taken_out() {
    let text = key().expose();

    for (uri, rest) in [
        (format!("/symbols?key={text}"), "/symbols"),
        (
            format!("/symbols?limit=2&key={text}&_=1"),
            "/symbols?limit=2&_=1",
        ),
        (format!("/symbols?k%65y={text}&a=%FF"), "/symbols?a=%FF"),
        (
            format!("http://host/symbols?a&key={text}"),
            "http://host/symbols?a",
        ),
    ] {
        let mut request = request(&uri, &[]);
        let off = Credentials::take(&mut request, false);
        assert_eq!(
            (off, request.uri().to_string()),
            (Credentials::None, uri.clone())
        );

        let on = Credentials::take(&mut request, true);
        assert_eq!(on, Credentials::Key(key(), Place::Query), "{uri}");
        assert_eq!(request.uri().to_string(), rest);
    }
}

#[test]
fn a_key_in_the_query_must_agree_with_that_in_a_header() {
    let (text, other) = (key().expose(), other().expose());
    let uri = format!("/symbols?key={text}");

    let taken = |uri: &str, header: &str| {
        let mut request = request(uri, &[("x-api-key", header)]);
        Credentials::take(&mut request, true)
    };
    assert_eq!(taken(&uri, &text), Credentials::Key(key(), Place::Header));
    assert_eq!(taken(&uri, &other), Credentials::Malformed);

    for uri in [
        format!("/symbols?key={text}&key={other}"),
        "/symbols?key=".to_owned(),
        "/symbols?key".to_owned(),
        "/symbols?key=%FF".to_owned(),
    ] {
        let mut request = request(&uri, &[]);
        assert_eq!(
            Credentials::take(&mut request, true),
            Credentials::Malformed,
            "{uri}"
        );
        assert!(
            !request.uri().to_string().contains(&text),
            "{}",
            request.uri()
        );
    }
}
