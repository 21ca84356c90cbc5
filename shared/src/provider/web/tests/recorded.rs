//! The parsers over answers that were recorded from the providers themselves.
//!
//! They are not ours to copy. `RECORDED_ANSWERS` names the folder that has them, with a folder for
//! each provider; without it nothing is tested, and the test says so.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::{prop, prop_assert};

use super::*;
use crate::provider::web::mutation::{has_number, mutation, runner};

/// The folder of the recorded answers, if there is one.
#[expect(clippy::disallowed_methods, reason = "the tests' own configuration")]
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("RECORDED_ANSWERS").filter(|folder| !folder.is_empty());
    if folder.is_none() {
        eprintln!("not run: RECORDED_ANSWERS names no folder");
    }
    folder.map(PathBuf::from)
}

/// The APIs by the names of their folders.
fn apis() -> Vec<(&'static str, Box<dyn Api>)> {
    let http = Arc::new(HttpClient::new(None));
    let yahoo = Yahoo::provider("Mozilla/5.0", source("http://127.0.0.1:9"), http);
    vec![
        ("yahoo", Box::new(yahoo.api)),
        ("finnhub", Box::new(Finnhub)),
        ("twelve_data", Box::new(TwelveData)),
        ("alpha_vantage", Box::new(AlphaVantage)),
        ("tiingo", Box::new(Tiingo)),
        ("coinbase", Box::new(Coinbase)),
        ("kraken", Box::new(Kraken)),
        ("binance", Box::new(Binance)),
    ]
}

/// A recorded answer: its file's name, and itself as one that is received long after.
struct Recorded {
    name: String,
    answer: Received,
}

fn recorded(folder: &Path, provider: &str) -> Vec<Recorded> {
    let files =
        fs::read_dir(folder.join(provider)).unwrap_or_else(|error| panic!("{provider}: {error}"));
    let mut recorded: Vec<Recorded> = files
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // The number in the name of an error is its status.
            let status = name.strip_prefix("error_").map_or(Some(200), |rest| {
                rest.split(['_', '.']).find_map(|part| part.parse().ok())
            });
            let answer = Received {
                received_at: "2100-01-01T00:00:00Z".parse().unwrap(),
                ..received(status.unwrap_or(200), text(&fs::read(&path).unwrap()))
            };
            Recorded { name, answer }
        })
        .collect();
    recorded.sort_by(|one, other| one.name.cmp(&other.name));
    recorded
}

/// The symbols that a recorded answer may be about, as its name and its text tell them.
fn symbols_in(recorded: &Recorded) -> Vec<Symbol> {
    let is_symbol = |text: &&str| {
        let has_letter = text.bytes().any(|byte| byte.is_ascii_uppercase());
        has_letter && !text.bytes().any(|byte| byte.is_ascii_lowercase())
    };

    let name = recorded.name.split('_').filter(is_symbol);
    let texts = recorded.answer.body.split('"').filter(is_symbol);
    // Some errors name none.
    let mut found: Vec<Symbol> = symbols(&["KO"]);
    for symbol in name.chain(texts).filter_map(|text| text.parse().ok()) {
        if !found.contains(&symbol) {
            found.push(symbol);
        }
    }
    found
}

/// The quotes that a parser finds in an answer to a request for one of these symbols, or for all.
fn prices(api: &dyn Api, answer: &Received, symbols: &[Symbol]) -> Vec<crate::price::Price> {
    let all: Vec<&Symbol> = symbols.iter().collect();
    let alone = all.iter().map(std::slice::from_ref);

    let asked = alone.chain(std::iter::once(all.as_slice()));
    let found = asked.flat_map(|asked| {
        let found = api.read(answer, asked).unwrap_or_default();
        let quotes = asked.iter().filter_map(|symbol| found.of(symbol).ok());
        quotes.collect::<Vec<_>>()
    });
    found.map(|quote| quote.price).collect()
}

#[test]
fn every_recorded_quote_is_read_and_no_recorded_error_is_a_quote() {
    let Some(folder) = folder() else { return };

    for (provider, api) in apis() {
        for recorded in recorded(&folder, provider) {
            let prices = prices(&*api, &recorded.answer, &symbols_in(&recorded));
            let body = recorded.answer.body.as_bytes();
            println!("{provider} {}: {prices:?}", recorded.name);

            let name = recorded.name.as_str();
            let without_quote = ["error_", "unknown", "price_VXX"];
            let expects_one = !without_quote.iter().any(|part| name.contains(part));
            assert_eq!(!prices.is_empty(), expects_one, "{provider} {name}");
            assert!(
                prices.iter().all(|price| has_number(body, *price)),
                "{provider} {name}"
            );
        }
    }
}

#[test]
fn a_recorded_answer_that_is_garbled_panics_nowhere_and_gives_no_price_that_is_not_in_it() {
    let Some(folder) = folder() else { return };

    for (provider, api) in apis() {
        for recorded in recorded(&folder, provider) {
            let mut symbols = symbols_in(&recorded);
            symbols.truncate(4);

            runner(30)
                .run(&prop::collection::vec(mutation(), 1..6), |mutations| {
                    let mut body = recorded.answer.body.clone().into_bytes();
                    mutations
                        .iter()
                        .for_each(|mutation| mutation.apply(&mut body));

                    let answer = Received {
                        received_at: recorded.answer.received_at,
                        ..received(recorded.answer.status, text(&body))
                    };
                    for price in prices(&*api, &answer, &symbols) {
                        prop_assert!(
                            has_number(&body, price),
                            "{provider} {} {price}",
                            recorded.name
                        );
                    }
                    Ok(())
                })
                .unwrap();
        }
    }
}
