//! Answers with one entry garbled at random: only that entry's own outcome may change.

use proptest::prelude::{prop, prop_assert, prop_assert_eq};
use proptest::test_runner::TestCaseError;

use super::*;
use crate::provider::web::mutation::{Mutation, has_number, mutation, runner};
use crate::provider::web::text;

const KO_PRICE: &str = "71.123456789012345";
const PEP_PRICE: &str = "144.1";
fn entry(symbol: &str, price: &str) -> Vec<u8> {
    let quote = format!(
        r#""shortName":"\"{symbol}\", Inc. [{{","currency":"USD","regularMarketPrice":{price},"regularMarketTime":1767623701"#
    );
    format!(
        r#"{{"symbol":"{symbol}","response":[{{"meta":{}}}]}}"#,
        meta(symbol, &quote)
    )
    .into_bytes()
}

/// The outcomes for `KO`, `PAD` and `PEP`.
fn outcomes(body: &[u8]) -> Result<[Result<Quote, ProviderError>; 3], Fault> {
    let symbols: [Symbol; 3] = ["KO", "PAD", "PEP"].map(|symbol| symbol.parse().unwrap());
    let received = Received {
        status: 200,
        retry_after: None,
        body: text(body),
        asked_at: to_microseconds(Utc::now()),
        received_at: to_microseconds(Utc::now()),
        requests: 1,
    };

    let yahoo = Yahoo {
        user_agent: USER_AGENT.to_owned(),
    };
    let found = yahoo.read(&received, &symbols.each_ref())?;
    let name = "yahoo".parse().unwrap();
    Ok(symbols.map(|symbol| {
        let quote = found.of(&symbol);
        quote.map_err(|fault| fault.error(&name, &symbol))
    }))
}

fn verify(place: usize, mutations: &[Mutation]) -> Result<(), TestCaseError> {
    let mut pad = entry("PAD", "17.5");
    for mutation in mutations {
        mutation.apply(&mut pad);
    }

    let mut entries = vec![entry("KO", KO_PRICE), entry("PEP", PEP_PRICE)];
    entries.insert(place, pad.clone());
    let body = [
        &br#"{"spark":{"result":["#[..],
        &entries.join(&b','),
        br#"],"error":null}}"#,
    ]
    .concat();

    let outcomes = outcomes(&body);
    let garbled = pad.escape_ascii();
    prop_assert!(outcomes.is_ok(), "{outcomes:?} {garbled}");

    let [ko, of_pad, pep] = outcomes.unwrap_or_else(|_| unreachable!("it was looked at"));
    for (neighbour, price) in [(ko, KO_PRICE), (pep, PEP_PRICE)] {
        let told =
            neighbour.map(|quote| (quote.price.to_string(), quote.currency.map(String::from)));
        prop_assert_eq!(
            told,
            Ok((price.to_owned(), Some("USD".to_owned()))),
            "{}",
            garbled
        );
    }

    if let Ok(quote) = of_pad {
        prop_assert!(
            has_number(&pad, quote.price),
            "{} is not in {garbled}",
            quote.price
        );
    }
    Ok(())
}

#[test]
fn a_garbled_entry_changes_no_neighbour_s_quote_and_gives_no_price_that_is_not_in_it() {
    let garbled = (0..3_usize, prop::collection::vec(mutation(), 1..6));
    runner(3_000)
        .run(&garbled, |(place, mutations)| verify(place, &mutations))
        .unwrap();
}
