use super::*;

/// Whether a request with these headers passes, where `https://shop.example` is allowed.
fn passes(method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }

    check(method, &map, &["https://shop.example".to_owned()]).is_ok()
}

#[test]
fn programs_that_tell_no_origin_pass() {
    for method in [Method::GET, Method::POST, Method::DELETE] {
        assert!(passes(&method, &[]));
        assert!(passes(&method, &[("host", "127.0.0.1:8080")]));
    }
}

#[test]
fn the_origin_of_the_host_itself_passes_however_it_is_spelt() {
    for (origin, host) in [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://LOCALHOST:8080", "localhost:8080"),
        ("http://localhost.:8080", "LocalHost.:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://[::1]", "[::1]"),
        ("https://api.example", "api.example"),
        ("https://api.example", "api.example:443"),
        ("https://api.example:443", "api.example"),
        ("http://api.example", "api.example:80"),
        ("https://shop.example", "api.example"),
        ("HTTPS://SHOP.example", "api.example"),
    ] {
        for method in [Method::GET, Method::POST] {
            assert!(
                passes(&method, &[("origin", origin), ("host", host)]),
                "{origin} at {host}"
            );
        }
    }
}

#[test]
fn any_other_origin_is_refused_for_reads_and_writes_alike() {
    for (origin, host) in [
        ("https://evil.example", "127.0.0.1:8080"),
        ("null", "127.0.0.1:8080"),
        ("", "127.0.0.1:8080"),
        ("http://127.0.0.1", "127.0.0.1:8080"),
        ("http://127.0.0.1:3000", "127.0.0.1:8080"),
        ("https://127.0.0.1", "127.0.0.1:80"),
        ("http://localhost:8080", "127.0.0.1:8080"),
        ("http://localhost.:8080", "localhost:8080"),
        ("http://127.0.0.1:8080.evil.example", "127.0.0.1:8080"),
        ("http://evil.example#127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://evil@127.0.0.1:8080", "evil@127.0.0.1:8080"),
        (
            "http://127.0.0.1:8080,https://evil.example",
            "127.0.0.1:8080",
        ),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("chrome-extension://127.0.0.1:8080", "127.0.0.1:8080"),
        ("file://", ""),
        ("http://api.example", "[api.example"),
        ("https://shop.example:8443", "api.example"),
        ("http://shop.example", "api.example"),
        ("https://shop.example.evil.example", "api.example"),
    ] {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            assert!(
                !passes(&method, &[("origin", origin), ("host", host)]),
                "{origin} at {host}"
            );
        }
    }

    assert!(
        !passes(&Method::POST, &[("origin", "http://127.0.0.1:8080")]),
        "a missing host belongs to no site"
    );

    let twice = [
        ("origin", "http://a:1"),
        ("origin", "http://a:1"),
        ("host", "a:1"),
    ];
    assert!(!passes(&Method::POST, &twice));
}

#[test]
fn another_site_is_refused_unless_it_is_allowed_or_its_link_was_followed() {
    let (cross, own) = (("sec-fetch-site", "cross-site"), ("origin", "http://a:1"));
    assert!(!passes(&Method::POST, &[cross]));
    assert!(!passes(
        &Method::GET,
        &[
            cross,
            ("sec-fetch-mode", "no-cors"),
            ("sec-fetch-dest", "image")
        ]
    ));
    assert!(
        !passes(&Method::POST, &[cross, own, ("host", "a:1")]),
        "one of the two is a lie"
    );
    assert!(
        !passes(&Method::GET, &[("sec-fetch-site", "same-site")]),
        "another port of this host"
    );

    assert!(!passes(&Method::GET, &[("sec-fetch-site", "else")]));
    assert!(!passes(
        &Method::GET,
        &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]
    ));
    assert!(passes(
        &Method::POST,
        &[cross, ("origin", "https://shop.example"), ("host", "a:1")]
    ));

    let navigate = ("sec-fetch-mode", "navigate");
    assert!(passes(
        &Method::GET,
        &[cross, navigate, ("sec-fetch-dest", "document")]
    ));
    assert!(passes(&Method::GET, &[cross, navigate]));
    assert!(!passes(
        &Method::GET,
        &[cross, navigate, ("sec-fetch-dest", "iframe")]
    ));
    assert!(
        !passes(
            &Method::POST,
            &[cross, navigate, ("sec-fetch-dest", "document")]
        ),
        "a form"
    );
}

#[test]
fn our_own_page_passes_even_where_it_hides_its_address() {
    for site in ["same-origin", "none"] {
        let site = ("sec-fetch-site", site);
        assert!(passes(&Method::GET, &[site]));
        assert!(passes(
            &Method::POST,
            &[site, ("origin", "null"), ("host", "a:1")]
        ));
        assert!(passes(
            &Method::POST,
            &[site, ("origin", "http://a:1"), ("host", "a:1")]
        ));
        assert!(!passes(
            &Method::POST,
            &[site, ("origin", "http://b:1"), ("host", "a:1")]
        ));
    }
}
