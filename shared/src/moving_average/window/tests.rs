use num_bigint::BigInt;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof};
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::super::average;
use super::*;

fn prices(texts: &[&str]) -> Vec<Price> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn value(kind: Kind, window: usize, newest_first: &[&str]) -> (String, usize) {
    let average = of_newest(kind, window, &prices(newest_first)).unwrap();
    (average.value.to_string(), average.points)
}

#[test]
fn a_simple_average_is_the_mean_of_the_newest_prices() {
    let newest_first = ["5", "4", "3", "2", "1", "1000"];
    assert_eq!(value(Kind::Simple, 5, &newest_first), ("3".to_owned(), 5));
    assert_eq!(value(Kind::Simple, 2, &newest_first), ("4.5".to_owned(), 2));
}

#[test]
fn an_exponential_average_begins_with_a_mean_and_follows_each_later_price() {
    // The mean of 1 and 2 is 1.5; two thirds of the way to 3 is 2.5, and from there to 6 is 4.833….
    let newest_first = ["6", "3", "2", "1"];
    assert_eq!(
        value(Kind::Exponential, 2, &newest_first),
        ("4.833333".to_owned(), 4)
    );
    assert_eq!(
        value(Kind::Exponential, 3, &newest_first),
        ("4".to_owned(), 4),
        "halfway from the mean 2 to 6"
    );
}

#[test]
fn with_fewer_prices_than_the_window_both_are_the_mean_of_all() {
    for kind in [Kind::Simple, Kind::Exponential] {
        assert_eq!(value(kind, 200, &["2", "1"]), ("1.5".to_owned(), 2));
        assert_eq!(
            value(kind, 4, &["11", "10", "10"]),
            ("10.333333".to_owned(), 3)
        );
        assert_eq!(of_newest(kind, 5, &[]), None);
        assert_eq!(of_newest(kind, 0, &prices(&["1"])), None);
        assert_eq!(of_newest(kind, MAX_WINDOW + 1, &prices(&["1"])), None);
    }
}

#[test]
fn a_result_halfway_between_two_is_rounded_to_the_even_one() {
    let of_128 = |last: &'static str| {
        let newest_first: Vec<&str> = ["1"; 127].into_iter().chain([last]).collect();
        value(Kind::Simple, 128, &newest_first).0
    };

    // A 128th is 0.0078125, and three are 0.0234375.
    assert_eq!(of_128("2"), "1.007812");
    assert_eq!(of_128("4"), "1.023438");
}

#[test]
fn up_to_five_prices_give_what_is_stored_with_a_point() {
    for newest_first in [
        &["99999999999.999999999999999", "0.00000000000000000001"][..],
        &["10", "10", "11"],
        &["1", "2", "3", "5"],
        &["0.07", "0.1", "3", "2.5", "8.123456789"],
    ] {
        let stored = average(&prices(newest_first)).unwrap();
        let read = of_newest(Kind::Simple, 5, &prices(newest_first)).unwrap();
        assert_eq!(read.value, stored.value);
        assert_eq!(read.points, usize::from(stored.points));
    }
}

#[test]
fn the_largest_and_most_precise_prices_lose_no_digit_in_the_longest_window() {
    let (large, precise) = ("99999999999.999999999999999", "0.00000000000000000001");
    let newest_first: Vec<&str> = [large, precise].repeat(100);
    assert_eq!(
        value(Kind::Simple, 200, &newest_first),
        ("49999999999.999999999999999500005".to_owned(), 200)
    );

    let newest_first = [large].repeat(MAX_WINDOW * SPAN);
    assert_eq!(
        value(Kind::Exponential, 200, &newest_first),
        (large.to_owned(), 2_000)
    );
}

#[test]
fn older_prices_than_an_exponential_average_is_of_would_hardly_change_it() {
    // The seed has the weight of all that is older. With 12 places, the result has 14.
    for window in [2, 5, 20, 200] {
        let most = Kind::Exponential.most_points(window);
        let mut newest_first = prices(&["1.000000000001"]).repeat(most - window);
        newest_first.extend(prices(&["2.000000000001"]).repeat(window));

        let average = of_newest(Kind::Exponential, window, &newest_first).unwrap();
        let places = "0.00000000000001".len() - 2;
        let units = average.value.units(u32::try_from(places).unwrap()).unwrap();
        let weight = units - 100_000_000_000_100;
        assert!(weight < 2_000_000, "{window}: {weight} of 10^14");

        newest_first.extend(prices(&["1000"]));
        let longer = of_newest(Kind::Exponential, window, &newest_first).unwrap();
        assert_eq!(longer, average, "{window}");
    }
}

/// The average by its weights, as a fraction: what the product computes step by step.
///
/// The i-th price before the newest weighs α (1 − α)^i, with α = 2 / (`window` + 1), and each price
/// of the seed its share of what is left.
fn naive(kind: Kind, window: usize, newest_first: &[Price]) -> (BigInt, BigInt) {
    let whole = |price: &Price| {
        let (mantissa, scale) = (price.value().mantissa(), price.value().scale());
        BigInt::from(mantissa) * BigInt::from(10).pow(20 - scale)
    };
    let power =
        |base: usize, exponent: usize| BigInt::from(base).pow(u32::try_from(exponent).unwrap());

    let count = newest_first.len().min(kind.most_points(window));
    let later = count.saturating_sub(window);
    let seed = count - later;

    // All weights over their common divisor `seed` × (`window` + 1)^`later`.
    let divisor = BigInt::from(seed) * power(window + 1, later);
    let weight = |place: usize| {
        if place < later {
            BigInt::from(2 * seed) * power(window - 1, place) * power(window + 1, later - 1 - place)
        } else {
            power(window - 1, later)
        }
    };

    let weights: BigInt = (0..count).map(weight).sum();
    assert_eq!(weights, divisor, "the weights add up to one");
    let dividend = newest_first[..count].iter().enumerate();
    let dividend: BigInt = dividend
        .map(|(place, price)| weight(place) * whole(price))
        .sum();
    (dividend, divisor * BigInt::from(10).pow(20))
}

/// Whether `value` is the fraction rounded half-even to `places`.
fn is_rounded(value: ExactDecimal, places: u32, (dividend, divisor): (BigInt, BigInt)) -> bool {
    let Some(units) = value.units(places) else {
        return false;
    };
    let scale = BigInt::from(10).pow(places);
    let twice_off: BigInt = (dividend * scale - BigInt::from(units) * &divisor) * 2;
    let off: BigInt = if twice_off < BigInt::ZERO {
        -twice_off
    } else {
        twice_off
    };
    off < divisor || (off == divisor && units % 2 == 0)
}

/// Prices of every precision.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let text = prop_oneof![
        (1_u64..1_000_000).prop_map(|cents| format!("{}.{:02}", cents / 100, cents % 100 + 1)),
        (1_u128..99_999_999_999_999_999_999).prop_map(|digits| format!("0.{digits:020}")),
        Just("99999999999.999999999999999".to_owned()),
        Just("3".to_owned()),
    ];
    prop::collection::vec(text, 1..450)
}

#[test]
fn every_average_is_the_fraction_of_its_weights_rounded_once() {
    let seed = seed();
    println!("seed {seed}; repeat with PROPTEST_RNG_SEED={seed}");

    let config = Config {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let inputs = (2_usize..40, any::<bool>(), texts());
    let case = |(window, is_simple, texts): (usize, bool, Vec<String>)| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let prices = prices(&texts);
        let kind = if is_simple {
            Kind::Simple
        } else {
            Kind::Exponential
        };

        let average = of_newest(kind, window, &prices).unwrap();
        let averaged = &prices[..prices.len().min(kind.most_points(window))];
        prop_assert_eq!(average.points, averaged.len());

        let most_precise = averaged.iter().map(|price| price.value().scale()).max();
        let places = most_precise.map_or(6, |scale| (scale + 2).max(6));
        let exact = naive(kind, window, averaged);
        prop_assert!(is_rounded(average.value, places, exact));
        Ok(())
    };
    TestRunner::new(config).run(&inputs, case).unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "proptest's own variable, so that a failed seed can be repeated"
)]
fn seed() -> u64 {
    let asked = std::env::var("PROPTEST_RNG_SEED").ok();
    asked
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}
