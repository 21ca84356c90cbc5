//! Answers garbled at random: no panic, no neighbour lost, and no price that is not in the bytes.

use proptest::prelude::{prop, prop_assert, prop_assert_eq};
use proptest::test_runner::TestCaseError;

use super::*;
use crate::provider::web::mutation::{Mutation, has_number, mutation, runner};

/// A provider whose answers have separable entries: how an entry of a symbol and a price is
/// written, and what surrounds the entries.
struct Listing {
    api: &'static dyn Api,
    entry: fn(&str, &str) -> String,
    around: (&'static str, &'static str),
}

const LISTINGS: [Listing; 4] = [
    Listing {
        api: &Tiingo,
        entry: |symbol, price| {
            format!(
                r#"{{"ticker":"{symbol}","name":"\"{symbol}\", Inc. [{{","timestamp":"2026-01-05T14:35:01Z","tngoLast":{price},"bidPrice":null}}"#
            )
        },
        around: ("[", "]"),
    },
    Listing {
        api: &Binance,
        entry: |symbol, price| {
            format!(r#"{{"symbol":"{symbol}","name":"\"{symbol}\" [{{","price":"{price}"}}"#)
        },
        around: ("[", "]"),
    },
    Listing {
        api: &TwelveData,
        entry: |symbol, price| {
            format!(
                r#""{symbol}":{{"symbol":"{symbol}","name":"\"{symbol}\", Inc. [{{","last_quote_at":1767623701,"close":"{price}","fifty_two_week":{{"low":"1"}}}}"#
            )
        },
        around: ("{", "}"),
    },
    Listing {
        api: &Kraken,
        entry: |symbol, price| {
            format!(
                r#""{symbol}":{{"a":["9","1","1.000"],"c":["{price}","0.5"],"t":[22,103],"o":"7.5"}}"#
            )
        },
        around: (r#"{"error":[],"result":{"#, "}}"),
    },
];

/// Answers about one symbol, `KO`.
const SINGLE: [(&dyn Api, &str); 5] = [
    (
        &Finnhub,
        r#"{"c":71.125,"d":-0.5,"dp":null,"h":72,"l":70,"o":71,"pc":71.5,"t":1767623701}"#,
    ),
    (
        &Coinbase,
        r#"{"ask":"71.2","bid":"71.1","trade_id":1040406588,"price":"71.125","time":"2026-01-05T14:35:01.016274911Z"}"#,
    ),
    (
        &AlphaVantage,
        r#"{"Global Quote":{"01. symbol":"KO","05. price":"71.1250","06. volume":"29062853","07. latest trading day":"2026-01-05"}}"#,
    ),
    (
        &TwelveData,
        r#"{"symbol":"KO","currency":"USD","timestamp":1767619800,"last_quote_at":1767623701,"close":"71.125"}"#,
    ),
    (
        &Kraken,
        r#"{"error":[],"result":{"KO":{"a":["9"],"c":["71.125","0.5"],"t":[22,103]}}}"#,
    ),
];

fn asked(names: &[&str]) -> Vec<Symbol> {
    symbols(names)
}

fn verify_list(
    listing: &Listing,
    place: usize,
    mutations: &[Mutation],
) -> Result<(), TestCaseError> {
    let mut pad = (listing.entry)("PAD", "17.5").into_bytes();
    mutations
        .iter()
        .for_each(|mutation| mutation.apply(&mut pad));
    verify_beside(listing, place, &pad)
}

/// The same with the garbled entry itself.
fn verify_beside(listing: &Listing, place: usize, pad: &[u8]) -> Result<(), TestCaseError> {
    let neighbour = |symbol, price| (listing.entry)(symbol, price).into_bytes();
    let mut entries = vec![neighbour("KO", "71.125"), neighbour("PEP", "144.1")];
    entries.insert(place, pad.to_vec());
    let (head, tail) = listing.around;
    let body = [head.as_bytes(), &entries.join(&b','), tail.as_bytes()].concat();

    let symbols = asked(&["KO", "PAD", "PEP"]);
    let refs: Vec<&Symbol> = symbols.iter().collect();
    let found = listing.api.read(&received(200, text(&body)), &refs);
    let garbled = pad.escape_ascii();
    prop_assert!(found.is_ok(), "{found:?} {garbled}");
    let found = found.unwrap_or_default();

    for (symbol, price) in [(&symbols[0], "71.125"), (&symbols[2], "144.1")] {
        let told = found.of(symbol).map(|quote| quote.price.to_string());
        prop_assert_eq!(told, Ok(price.to_owned()), "{} {}", symbol, garbled);
    }
    if let Ok(quote) = found.of(&symbols[1]) {
        prop_assert!(has_number(pad, quote.price), "{} {garbled}", quote.price);
    }
    Ok(())
}

#[test]
fn a_garbled_entry_costs_no_neighbour_its_quote_and_gives_no_price_that_is_not_in_it() {
    for listing in &LISTINGS {
        println!("{:?}", listing.api);
        let garbled = (0..3_usize, prop::collection::vec(mutation(), 1..6));
        runner(1_500)
            .run(&garbled, |(place, mutations)| {
                verify_list(listing, place, &mutations)
            })
            .unwrap();
    }
}

/// Both braces of an entry are lost, and one of them is found at the end of the answer. The objects
/// inside the entry are then no entries, even if that gives more of them.
#[test]
fn an_object_within_an_entry_that_does_not_end_is_not_taken_for_a_neighbour() {
    let twelve_data = &LISTINGS[2];
    let raw = r#"{"raw":9}"#;
    let other = r#"{"symbol":"KO","response":[{"meta":{"symbol":"KO"}}]}"#;

    for (last_quote_at, close) in [(raw, "17.5"), (other, "17.5"), ("1", raw), (raw, other)] {
        let pad = format!(
            r#""PAD":{{"symbol":"PAD","last_quote_at":{last_quote_at},"close":{close},"fifty_two_week":{{"low":"1""#
        );
        for place in 0..3 {
            verify_beside(twelve_data, place, pad.as_bytes()).unwrap();
        }
    }
}

#[test]
fn a_garbled_answer_about_one_symbol_gives_no_price_that_is_not_in_it() {
    for (api, body) in SINGLE {
        println!("{api:?}");
        let whole = told(api, &["KO"], &received(200, body));
        assert!(whole[0].starts_with("71.125 "), "{whole:?}");

        runner(1_500)
            .run(&prop::collection::vec(mutation(), 1..6), |mutations| {
                let mut body = body.as_bytes().to_vec();
                mutations
                    .iter()
                    .for_each(|mutation| mutation.apply(&mut body));

                let symbols = asked(&["KO"]);
                let found = api.read(&received(200, text(&body)), &[&symbols[0]]);
                if let Ok(Ok(quote)) = found.map(|found| found.of(&symbols[0])) {
                    prop_assert!(has_number(&body, quote.price), "{}", body.escape_ascii());
                }
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn an_answer_that_is_cut_off_keeps_the_entries_before_the_cut_and_makes_no_other_unknown() {
    for listing in &LISTINGS {
        let (head, tail) = listing.around;
        let (ko, pep) = (
            (listing.entry)("KO", "71.125"),
            (listing.entry)("PEP", "144.1"),
        );
        let whole = format!("{head}{ko},{pep}{tail}");

        let nothing = told(listing.api, &["KO"], &received(200, head));
        assert!(nothing[0].contains("Malformed"), "{nothing:?}");

        // From the entry's last bracket on, which could be the list's.
        for end in head.len() + ko.len()..whole.len() {
            let told = told(listing.api, &["KO", "PEP"], &received(200, &whole[..end]));
            assert!(told[0].starts_with("71.125 "), "{told:?} {}", &whole[..end]);
            assert_ne!(told[1], "Unknown", "{}", &whole[..end]);
        }
    }
}
