//! Answers that are garbled at random.

use proptest::prelude::{Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::price::Price;

/// A whole entry of a neighbour, with another price than its own.
const FALSE_KO: &str = r#"{"symbol":"KO","response":[{"meta":{"symbol":"KO","regularMarketPrice":9,"regularMarketTime":1767623701}}]}"#;
/// Replacements of a field's value; some are not JSON.
const ODD_VALUES: [&[u8]; 16] = [
    b"NaN",
    b"-Infinity",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"\"Infinity\"",
    b"\"\\ud800\"",
    b"\"\xff\"",
    b"\"\0\"",
    b"{\"raw\":9}",
    b"[null,9]",
    b"[[[[[[",
    b"",
    FALSE_KO.as_bytes(),
];

#[derive(Clone, Debug)]
pub(in crate::provider) enum Mutation {
    Replace(usize, u8),
    Insert(usize, u8),
    Remove(usize, usize),
    /// Replaces the value of the field whose colon is the first one from this position.
    Value(usize, usize),
}

impl Mutation {
    /// Applies the mutation; positions are modulo the length.
    pub(in crate::provider) fn apply(&self, entry: &mut Vec<u8>) {
        let length = entry.len();
        let at = |position: &usize| position % length.max(1);

        match self {
            Self::Insert(position, byte) => entry.insert(position % (length + 1), *byte),
            _ if length == 0 => {}
            Self::Replace(position, byte) => entry[at(position)] = *byte,
            Self::Remove(position, bytes) => {
                let start = at(position);
                drop(entry.drain(start..length.min(start + bytes)));
            }
            Self::Value(position, value) => {
                let start = at(position);
                let Some(colon) = entry[start..].iter().position(|byte| *byte == b':') else {
                    return;
                };

                let value_start = start + colon + 1;
                let ends = |byte: &u8| b",}]".contains(byte);
                let value_end = entry[value_start..]
                    .iter()
                    .position(ends)
                    .map_or(length, |end| value_start + end);

                entry.splice(
                    value_start..value_end,
                    ODD_VALUES[value % ODD_VALUES.len()].iter().copied(),
                );
            }
        }
    }
}

pub(in crate::provider) fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = || {
        prop_oneof![
            any::<u8>(),
            prop::sample::select(&b"\"\\{}[]:,0123456789.-eN \0"[..])
        ]
    };

    prop_oneof![
        (any::<usize>(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<usize>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (any::<usize>(), 1..40_usize).prop_map(|(at, bytes)| Mutation::Remove(at, bytes)),
        (any::<usize>(), any::<usize>()).prop_map(|(at, value)| Mutation::Value(at, value)),
    ]
}

/// Whether one of the numbers in the entry is the price.
pub(in crate::provider) fn has_number(entry: &[u8], price: Price) -> bool {
    let in_number = |byte: &u8| b"0123456789.eE+-".contains(byte);
    let numbers = entry
        .split(|byte| !in_number(byte))
        .map(String::from_utf8_lossy);
    numbers
        .filter_map(|number| number.parse().ok())
        .any(|number: Price| number == price)
}

/// A runner of `cases` cases, or of as many as `PROPTEST_CASES` says. It prints its seed.
pub(in crate::provider) fn runner(cases: u32) -> TestRunner {
    let seed = asked("PROPTEST_RNG_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("seed {seed}; repeat with PROPTEST_RNG_SEED={seed}");

    TestRunner::new(Config {
        cases: asked("PROPTEST_CASES").unwrap_or(cases),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "proptest's own variables, so that a failed seed can be repeated"
)]
fn asked<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}
