//! Means at the limits of what prices may be, compared with a different arithmetic.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use shared::moving_average::average;
use shared::price::{MAX_DIGITS, MAX_FRACTION_DIGITS, MAX_INTEGER_DIGITS, Price};

use crate::property::rand_seed;
use crate::reference::mean;

/// Prices with the most digits before the point, after it or in all, and ordinary ones.
fn price() -> impl Strategy<Value = Price> {
    let digits = (
        1..=MAX_INTEGER_DIGITS,
        0..=MAX_FRACTION_DIGITS,
        any::<u128>(),
        any::<bool>(),
    );

    let spread = digits.prop_map(|(before, after, random, nines)| {
        let after = after.min(MAX_DIGITS - before);

        let most = 10_u128.pow(before + after);

        let mantissa = if nines {
            most - 1 - random % 3
        } else {
            1 + random % (most - 1)
        };

        format!("{mantissa}e-{after}").parse().unwrap()
    });

    let bounds = prop_oneof![
        Just("99999999999.999999999999999"),
        Just("999999.99999999999999999999"),
        Just("0.00000000000000000001"),
        Just("10000000000"),
        Just("150.25"),
    ];

    prop_oneof![3 => spread, 1 => bounds.prop_map(|text| text.parse().unwrap())]
}

#[test]
fn every_mean_has_every_digit_however_large_and_precise_prices_are_mixed() {
    let seed = rand_seed();
    println!("seed {seed}; repeat with PROPTEST_RNG_SEED={seed}");
    let config = Config {
        cases: 20_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };

    TestRunner::new(config)
        .run(&prop::collection::vec(price(), 1..=5), |window| {
            let average = average(&window).unwrap();
            prop_assert_eq!(average.value.to_string(), mean(&window));
            prop_assert_eq!(usize::from(average.points), window.len());
            Ok(())
        })
        .unwrap();
}
