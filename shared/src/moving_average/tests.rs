use super::*;

fn average_of(prices: &[&str]) -> String {
    let window: Vec<Price> = prices.iter().map(|text| text.parse().unwrap()).collect();
    average(&window).unwrap().value.to_string()
}

#[test]
fn one_two_four_and_five_points_are_exact() {
    assert_eq!(average_of(&["0.00000812"]), "0.00000812");
    assert_eq!(average_of(&["1", "2"]), "1.5");
    assert_eq!(average_of(&["1", "2", "3", "5"]), "2.75");
    assert_eq!(average_of(&["100", "101", "99", "102", "98"]), "100");
    assert_eq!(
        average_of(&["10", "10", "10", "10", "10.000000000000001"]),
        "10.0000000000000002"
    );
}

#[test]
fn the_largest_and_most_precise_prices_lose_no_digit() {
    let most = "99999999999.999999999999999";
    assert_eq!(average_of(&[most; 5]), most);
    assert_eq!(average_of(&[most; 4]), most);
    assert_eq!(
        average_of(&[most, most, most, "99999999999.999999999999998"]),
        "99999999999.99999999999999875"
    );
    assert_eq!(average_of(&[most; 3]), most);
}

/// The sum has 32 digits and the mean of four 33, where `rust_decimal` holds 28 and rounds the
/// rest away.
#[test]
fn large_prices_and_precise_ones_lose_no_digit_in_one_window() {
    let (large, precise) = ("99999999999.999999999999999", "0.00000000000000000001");
    let value = |text: &str| text.parse::<Price>().unwrap().value();

    assert_eq!(
        (value(large) + value(precise)).to_string(),
        "99999999999.99999999999999900",
        "it is lost"
    );

    assert_eq!(
        average_of(&[large, precise]),
        "49999999999.999999999999999500005"
    );
    assert_eq!(
        average_of(&[large, large, precise]),
        "66666666666.6666666666666660000033"
    );
    assert_eq!(
        average_of(&[large, large, large, precise]),
        "74999999999.9999999999999992500025"
    );
    assert_eq!(
        average_of(&[large, large, large, large, precise]),
        "79999999999.999999999999999200002"
    );

    let most_precise = "999999.99999999999999999999";
    assert_eq!(
        average_of(&[large, large, large, most_precise]),
        "75000249999.9999999999999992499975"
    );
}

#[test]
fn three_points_are_rounded_to_two_more_decimals_than_the_most_precise_has_and_at_least_six() {
    assert_eq!(average_of(&["1", "1", "2"]), "1.333333");
    assert_eq!(average_of(&["10", "10", "11"]), "10.333333");
    assert_eq!(average_of(&["10", "11", "11"]), "10.666667");
    assert_eq!(average_of(&["0.1", "0.1", "0.15"]), "0.116667");
    assert_eq!(average_of(&["1.0001", "1", "1"]), "1.000033");
    assert_eq!(average_of(&["1.00001", "1", "1"]), "1.0000033");
    assert_eq!(average_of(&["1", "2", "3.3"]), "2.1");
}

#[test]
fn the_sum_of_an_average_is_that_of_its_prices() {
    for prices in [
        ["1", "1", "2"].as_slice(),
        &["10", "10.5", "11"],
        &["0.123456", "1", "2.5"],
        &["71457371648.000000000000001", "1544.07", "1654.53"],
        &["99999999999.999999999999999", "0.00000000000000000001", "1"],
        &["1", "2", "4", "5.5"],
        &["99999999999.999999999999999"; 5],
    ] {
        let window: Vec<Price> = prices.iter().map(|text| text.parse().unwrap()).collect();

        let sum = window.iter().fold(ExactDecimal::ZERO, |sum, price| {
            sum.checked_add((*price).into()).unwrap()
        });

        let whole = average(&window).unwrap();
        assert_eq!(whole.sum(window[0].value().scale()), sum, "{prices:?}");
        let first = ExactDecimal::from(window[0]);
        assert_eq!(
            average_after(first, 1, &window[1..]),
            Some(whole),
            "{prices:?}"
        );
    }
}

#[test]
fn no_window_and_a_window_too_long_have_no_average() {
    assert_eq!(average(&[]), None);
    assert_eq!(average(&["1".parse().unwrap(); 6]), None);
}
