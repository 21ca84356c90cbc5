use super::*;

/// The price of each symbol, or its error, in a list of `entries` that may be any bytes.
async fn told(symbols: &[&str], entries: &[&[u8]]) -> Vec<String> {
    let mut body = br#"{"spark":{"result":["#.to_vec();
    body.extend(entries.join(&b", \n"[..]));
    body.extend(br#"],"error":null}}"#);
    let server = answering(ResponseTemplate::new(200).set_body_raw(body, "application/json")).await;

    let answer = ask(&client_of(&server), symbols).await.expect("an answer");
    let outcome = |(symbol, outcome): (Symbol, Result<Quote, ProviderError>)| match outcome {
        Ok(quote) => format!("{symbol} {}", quote.price),
        Err(error) => error.to_string(),
    };

    answer.quotes.into_iter().map(outcome).collect()
}

/// An entry whose name contains quotes and brackets, as real names may.
fn entry(symbol: &str, price: &str) -> Vec<u8> {
    let quote = format!(
        r#""shortName":"\"{symbol}\", Inc. [{{","regularMarketPrice":{price},"regularMarketTime":1767623701"#
    );
    format!(
        r#"{{"symbol":"{symbol}","response":[{{"meta":{}}}]}}"#,
        meta(symbol, &quote)
    )
    .into_bytes()
}

/// The entry of `PAD`, with the first `from` replaced by `to`.
fn pad(from: &str, to: &[u8]) -> Vec<u8> {
    let entry = entry("PAD", "17.5");
    let at = entry
        .windows(from.len())
        .position(|window| window == from.as_bytes())
        .unwrap();
    [&entry[..at], to, &entry[at + from.len()..]].concat()
}

const UNREADABLE: &str = "yahoo gave an answer we cannot read: its entry for PAD";

#[tokio::test]
async fn an_entry_that_is_not_json_costs_its_neighbours_nothing_wherever_it_stands() {
    let (ko, pep) = (entry("KO", "71.12"), entry("PEP", "144.1"));

    for broken in [
        pad("17.5", b"NaN"),
        pad("17.5", b"-Infinity"),
        pad("2,\"fulldayPrice", b"NaN,\"fulldayPrice"),
        pad("17.5", b"17.\xff5"),
        pad("17.5", b"17.5\0"),
        pad("PAD", b"PAD\n"),
        // Quotes and brackets that do not match.
        pad("PAD", b"PAD\""),
        pad("\"PAD", b"PAD"),
        pad("Inc. [{\"", b"Inc. [{"),
        pad("}]}", b"]}"),
        pad("}]}", b"}}"),
        pad("}]}", b""),
        pad(",\"response", b"},\"response"),
        pad(",\"response", b"},response"),
        pad("[{\"meta", b"[[[{\"meta"),
        b"NaN".to_vec(),
        b"\xff\xfe".to_vec(),
        b"\"".to_vec(),
        b"]".to_vec(),
        b"}".to_vec(),
        b"".to_vec(),
    ] {
        for at in 0..3 {
            let mut entries = vec![&ko[..], &pep];
            entries.insert(at, &broken);

            let told = told(&["KO", "PAD", "PEP"], &entries).await;
            assert_eq!(
                told,
                ["KO 71.12", UNREADABLE, "PEP 144.1"],
                "{} at {at}",
                broken.escape_ascii()
            );
        }
    }
}

#[tokio::test]
async fn several_entries_that_are_not_json_cost_their_neighbours_nothing() {
    let (ko, pep, nan) = (
        entry("KO", "71.12"),
        entry("PEP", "144.1"),
        pad("17.5", b"NaN"),
    );
    let broken = pad("}]}", b"]}");

    for entries in [
        [&nan[..], &ko, &nan, &broken, &nan, &pep, &nan],
        [&broken, &ko, &nan, &nan, &pep, &nan, &nan],
    ] {
        let told = told(&["KO", "PAD", "PEP"], &entries).await;
        assert_eq!(told, ["KO 71.12", UNREADABLE, "PEP 144.1"]);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_keeps_the_entries_before_the_cut() {
    let (ko, pep) = (entry("KO", "71.12"), entry("PEP", "144.1"));
    let head = [&b"{\"spark\":{\"result\":["[..], &ko].concat();
    let rest = [b",", &pep[..], b"],\"error\":null}}"].concat();

    for end in 0..rest.len() {
        let cut = [&head[..], &rest[..end]].concat();
        let server = answering(ResponseTemplate::new(200).set_body_raw(cut, "text/plain")).await;

        let answer = ask(&client_of(&server), &["KO", "PEP"]).await.unwrap();
        assert!(answer.quotes[0].1.is_ok(), "{:?}", answer.quotes);
        match &answer.quotes[1].1 {
            Ok(_) => assert!(end > pep.len()),
            Err(error) => {
                assert!(matches!(error, ProviderError::Malformed { .. }), "{error}");
                assert!(end <= pep.len(), "{}", rest[..end].escape_ascii());
            }
        }
    }
}

#[tokio::test]
async fn an_entry_between_two_that_do_not_end_is_not_guessed() {
    let (broken, ko, pep) = (
        pad("}]}", b"]}"),
        entry("KO", "71.12"),
        entry("PEP", "144.1"),
    );

    let told = told(&["KO", "PEP"], &[&broken, &ko, &broken, &pep]).await;

    assert_eq!(
        told,
        [
            "yahoo gave an answer we cannot read: its entry for KO",
            "PEP 144.1"
        ]
    );
}

#[tokio::test]
async fn odd_bytes_in_text_that_nobody_reads_do_no_harm() {
    let told = told(
        &["KO", "PAD"],
        &[&entry("KO", "71.12"), &pad("Inc.", b"Soci\xe9t\xe9 \0")],
    )
    .await;
    assert_eq!(told, ["KO 71.12", "PAD 17.5"]);
}

#[tokio::test]
async fn an_entry_within_a_broken_one_is_no_entry() {
    let peers = [
        b"{\"peers\":[7,"[..].to_vec(),
        entry("PAD", "9"),
        b",".to_vec(),
        entry("PEP", "9"),
        b"],".to_vec(),
    ];

    for start in ["", "[", "]", "}", "\"", "\"x\":NaN,"] {
        let broken = pad("{", &[&peers.concat(), start.as_bytes()].concat());
        let told = told(
            &["KO", "PAD", "PEP"],
            &[&entry("KO", "71.12"), &broken, &pad("17.5", b"NaN")],
        )
        .await;

        let pad = if start.is_empty() {
            "PAD 17.5"
        } else {
            UNREADABLE
        };
        assert_eq!(
            told,
            [
                "KO 71.12",
                pad,
                "yahoo gave an answer we cannot read: its entry for PEP"
            ],
            "{start}"
        );
    }
}

#[tokio::test]
async fn a_chart_that_is_not_json_is_its_symbol_s_trouble_alone() {
    for price in ["NaN", "Infinity", "7,,1", "7]"] {
        let quote = format!(r#""regularMarketPrice":{price},"regularMarketTime":1767623701"#);
        assert_eq!(
            one("PAD", chart(&meta("PAD", &quote))).await,
            UNREADABLE,
            "{price}"
        );
    }
}

#[tokio::test]
async fn the_raw_response_is_kept_as_it_came_but_for_what_is_not_text() {
    let body = [
        &b"{\"spark\":{\"result\":["[..],
        &pad("17.5", b"NaN\xff\0"),
        b"],\"error\":null}}",
    ]
    .concat();
    let server =
        answering(ResponseTemplate::new(200).set_body_raw(body.clone(), "application/json")).await;

    let answer = ask(&client_of(&server), &["PAD", "KO"]).await.unwrap();

    let expected = String::from_utf8_lossy(&body).replace("NaN\u{fffd}\0", "NaN\u{fffd}\u{fffd}");
    assert_eq!(answer.body, expected);
}
