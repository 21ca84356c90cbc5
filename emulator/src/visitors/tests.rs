use axum::http::Request;

use super::*;

const LOOPBACK: &str = "127.0.0.1:8080";
const EVERYWHERE: &str = "0.0.0.0:8080";

/// Checks a request for `target` with these headers.
fn check(
    listener: &str,
    allowed: &[&str],
    target: &str,
    headers: &[(&str, &str)],
) -> Result<(), Refused> {
    let mut request = Request::get(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();

    let allowed = AllowedHosts::read(allowed.iter().copied()).unwrap();
    allowed
        .at(listener.parse().unwrap())
        .check(&parts.uri, &parts.headers)
}

fn host(listener: &str, host: &str) -> Result<(), Refused> {
    check(listener, &[], "/", &[("host", host)])
}

#[test]
fn on_loopback_the_host_is_a_name_or_an_address_of_this_machine() {
    for named in [
        "localhost",
        "localhost:8080",
        "localhost:",
        "LocalHost:8080",
        "localhost.:8080",
        "api.localhost",
        "127.0.0.1",
        "127.0.0.1:65535",
        "127.8.9.10:80",
        "[::1]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]:1",
        "[::ffff:127.0.0.1]",
    ] {
        assert_eq!(host(LOOPBACK, named), Ok(()), "{named}");
        assert_eq!(host("[::1]:8080", named), Ok(()), "{named}");
        assert_eq!(host(EVERYWHERE, named), Ok(()), "{named}");
    }
}

#[test]
fn a_host_that_a_stranger_can_have_is_refused_everywhere() {
    for named in [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8080",
        "evil-localhost.example",
        "127.1.example",
        "",
        ":8080",
        ".",
        "..localhost.example",
        "localhost:8080:1",
        "localhost:port",
        "localhost:70000",
        "localhost:+80",
        "localhost 8080",
        "user@localhost",
        "localhost@evil.example",
        "localhost/evil",
        "localhost,evil.example",
        "[::1",
        "[::1]8080",
        "[::1]:x",
        "[fe80::1%25eth0]",
        "[localhost]",
        "::1",
        "löcalhost",
    ] {
        assert_eq!(host(LOOPBACK, named), Err(Refused::Host), "{named}");
        assert_eq!(host(EVERYWHERE, named), Err(Refused::Host), "{named}");
    }
}

#[test]
fn an_address_or_a_name_without_a_dot_is_known_only_where_other_machines_can_ask() {
    for named in [
        "poller:9090",
        "192.168.1.5:8080",
        "[2001:db8::1]:80",
        "0.0.0.0:8080",
    ] {
        assert_eq!(host(LOOPBACK, named), Err(Refused::Host), "{named}");
        assert_eq!(host(EVERYWHERE, named), Ok(()), "{named}");
    }
}

#[test]
fn one_host_is_named_and_an_absolute_target_names_no_other() {
    assert_eq!(check(LOOPBACK, &[], "/", &[]), Err(Refused::Host));
    let two = [("host", "localhost"), ("host", "localhost")];
    assert_eq!(check(LOOPBACK, &[], "/", &two), Err(Refused::Host));

    let local = [("host", "localhost")];
    assert_eq!(
        check(LOOPBACK, &[], "http://localhost:8080/", &local),
        Ok(())
    );
    assert_eq!(
        check(LOOPBACK, &[], "http://evil.example/", &local),
        Err(Refused::Host)
    );
    assert_eq!(
        check(
            LOOPBACK,
            &[],
            "http://localhost/",
            &[("host", "evil.example")]
        ),
        Err(Refused::Host)
    );
    assert_eq!(
        check(LOOPBACK, &[], "http://localhost@evil.example/", &local),
        Err(Refused::Host)
    );
}

#[test]
fn other_hosts_are_allowed_by_name_and_all_by_a_star() {
    let allowed = ["Market.example", "192.168.1.5"];
    for named in [
        "market.example:8080",
        "MARKET.EXAMPLE.",
        "192.168.1.5:8080",
        "localhost",
    ] {
        assert_eq!(
            check(LOOPBACK, &allowed, "/", &[("host", named)]),
            Ok(()),
            "{named}"
        );
    }

    for named in ["evil.example", "www.market.example", "192.168.1.6"] {
        assert_eq!(
            check(LOOPBACK, &allowed, "/", &[("host", named)]),
            Err(Refused::Host),
            "{named}"
        );
    }

    assert_eq!(
        check(LOOPBACK, &["a", "*"], "/", &[("host", "evil.example")]),
        Ok(())
    );
    assert_eq!(check(LOOPBACK, &["*"], "/", &[]), Ok(()));

    for wrong in [
        "http://market.example",
        "market.example:8080",
        "",
        "*.example",
        "a b",
    ] {
        assert!(AllowedHosts::read([wrong]).is_none(), "{wrong}");
    }
}

#[test]
fn a_page_of_another_origin_is_refused_whatever_the_browser_says_of_it() {
    let with = |name: &str, value: &str| {
        check(
            LOOPBACK,
            &[],
            "/",
            &[("host", "127.0.0.1:8080"), (name, value)],
        )
    };

    for origin in [
        "http://evil.example",
        "null",
        "",
        "https://127.0.0.1:8080",
        "http://127.0.0.1:8081",
        "http://127.0.0.1",
        "http://localhost:8080",
        "http://127.0.0.1:8080/",
    ] {
        assert_eq!(with("origin", origin), Err(Refused::Page), "{origin}");
    }

    for site in [
        "cross-site",
        "same-site",
        "Cross-Site",
        "",
        "same-origin, cross-site",
    ] {
        assert_eq!(with("sec-fetch-site", site), Err(Refused::Page), "{site}");
    }

    for (name, value) in [
        ("origin", "http://127.0.0.1:8080"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        assert_eq!(with(name, value), Ok(()), "{name}: {value}");
    }

    let both = [
        ("host", "localhost"),
        ("origin", "http://localhost"),
        ("origin", "http://evil.example"),
    ];
    assert_eq!(check(LOOPBACK, &[], "/", &both), Err(Refused::Page));
}
