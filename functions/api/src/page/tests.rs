use super::*;

/// Most bytes of the page and all its files together, compressed.
const MOST_COMPRESSED_BYTES: usize = 200_000;

#[test]
fn the_whole_page_is_at_most_200_kb_compressed() {
    let files: usize = FILES.iter().map(|file| file.compressed.len()).sum();
    let all = files + DOCUMENT.compressed.len();

    assert!(all <= MOST_COMPRESSED_BYTES, "{all} bytes");
}

#[test]
fn the_document_names_only_files_that_are_served() {
    let document = std::str::from_utf8(DOCUMENT.plain).unwrap();
    let base = format!("page/{VERSION}/");
    let named: Vec<&str> = document
        .split('"')
        .filter_map(|text| text.strip_prefix(&base))
        .collect();

    assert!(named.contains(&"app/main.js"), "{document}");
    for name in named {
        assert!(FILES.iter().any(|file| file.path == name), "{name}");
    }
    assert!(!document.contains("{version}") && !document.contains("<!-- modules -->"));
}

#[test]
fn no_file_of_our_own_has_styles_or_scripts_that_the_policy_forbids() {
    for file in FILES.iter().chain([&DOCUMENT]) {
        if file.path.starts_with("vendor/") {
            continue;
        }
        let text = std::str::from_utf8(file.plain).unwrap();
        for forbidden in [" style=", "<style", " onclick=", "innerHTML", "eval("] {
            assert!(!text.contains(forbidden), "{}: {forbidden}", file.path);
        }
    }
}

#[test]
fn gzip_is_sent_only_to_those_that_accept_it() {
    let accepts = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        accepts_gzip(&headers)
    };

    assert!(accepts("gzip") && accepts("br, GZIP;q=0.5") && accepts("deflate , gzip"));
    assert!(!accepts("br") && !accepts("gzip;q=0") && !accepts("gzip;q=0.0") && !accepts(""));
    assert!(!accepts_gzip(&HeaderMap::new()));
}
