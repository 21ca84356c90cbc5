use super::*;
use crate::price::Price;

#[test]
fn digits_are_shown_plainly_and_without_zeros_at_their_end() {
    for (mantissa, scale, text) in [
        (0, 0, "0"),
        (0, 3, "0"),
        (1_500, 0, "1500"),
        (150_250, 3, "150.25"),
        (1, 22, "0.0000000000000000000001"),
        (
            99_999_999_999_999_999_999_999_999_999_999_999,
            24,
            "99999999999.999999999999999999999999",
        ),
    ] {
        let decimal = ExactDecimal::new(mantissa, scale);
        assert_eq!(decimal.to_string(), text);

        let digits = (decimal.mantissa(), decimal.scale());
        assert_eq!(
            ExactDecimal::new(digits.0, digits.1),
            decimal,
            "made of its own digits"
        );

        assert_eq!(serde_json::to_string(&decimal).unwrap(), text);
    }
}

#[test]
fn sums_and_differences_are_exact_or_none() {
    let of = ExactDecimal::new;
    assert_eq!(of(15, 1).checked_add(of(25, 2)), Some(of(175, 2)));
    assert_eq!(of(175, 2).checked_sub(of(25, 2)), Some(of(15, 1)));
    assert_eq!(of(1, 0).checked_sub(of(11, 1)), None, "negative");
    assert_eq!(
        of(10_u128.pow(34), 0).checked_add(of(1, 22)),
        None,
        "57 digits"
    );
}

#[test]
fn a_price_keeps_its_digits() {
    let price: Price = "99999999999.999999999999999".parse().unwrap();
    assert_eq!(
        ExactDecimal::from(price).to_string(),
        "99999999999.999999999999999"
    );
}
