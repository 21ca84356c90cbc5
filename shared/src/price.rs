//! Exact prices: decimals from the provider's text to the HTTP answer, never floats.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::exact_decimal::ExactDecimal;

/// Most digits of a price before the decimal point.
pub const MAX_INTEGER_DIGITS: u32 = 11;
/// Most digits of a price after the decimal point, without trailing zeros.
pub const MAX_FRACTION_DIGITS: u32 = 20;
/// Most digits of a price in all, without zeros at either end.
pub const MAX_DIGITS: u32 = 26;

/// A price in the quote's currency: greater than zero, with at most 11 digits before the point, 20
/// after it and 26 in all.
///
/// These limits let [`Decimal`], which rounds silently beyond 28 digits, hold it exactly. A sum of
/// prices may have more digits and needs an [`ExactDecimal`].
///
/// ```
/// use shared::price::{Price, PriceError};
///
/// let price: Price = "1.5025e2".parse()?;
/// assert_eq!(price.to_string(), "150.25");
///
/// assert_eq!("-37.63".parse::<Price>(), Err(PriceError::NotPositive));
/// # Ok::<(), PriceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(Decimal);

/// Why a text or a number is not a [`Price`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// The text is not a decimal number such as `150.25` or `1.5e2`.
    #[error("is not a decimal number")]
    NotANumber,
    /// The number is zero or negative.
    #[error("is not greater than zero")]
    NotPositive,
    /// The number has more digits than can be averaged exactly.
    #[error(
        "has more than {MAX_INTEGER_DIGITS} digits before the point, {MAX_FRACTION_DIGITS} after it or {MAX_DIGITS} in all"
    )]
    TooPrecise,
}

impl Price {
    /// The price as a plain decimal without trailing zeros.
    #[must_use]
    pub fn value(self) -> Decimal {
        self.0
    }
}

impl TryFrom<Decimal> for Price {
    type Error = PriceError;

    fn try_from(value: Decimal) -> Result<Self, PriceError> {
        let value = value.normalize();
        if value <= Decimal::ZERO {
            return Err(PriceError::NotPositive);
        }

        let limit = Decimal::from(10_u64.pow(MAX_INTEGER_DIGITS));
        let too_many_digits = value.mantissa() >= 10_i128.pow(MAX_DIGITS);
        if value >= limit || value.scale() > MAX_FRACTION_DIGITS || too_many_digits {
            return Err(PriceError::TooPrecise);
        }

        Ok(Self(value))
    }
}

impl FromStr for Price {
    type Err = PriceError;

    /// Reads a JSON number's text, exponents included: `150.25`, `1.5e2`, `8.12E-6`.
    fn from_str(text: &str) -> Result<Self, PriceError> {
        Self::try_from(exact_decimal(text)?)
    }
}

/// The exact decimal of `text`; an error where [`Decimal`] would have to round.
fn exact_decimal(text: &str) -> Result<Decimal, PriceError> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => {
            let exponent = text[at + 1..]
                .parse::<i32>()
                .map_err(|_| PriceError::NotANumber)?;
            (&text[..at], exponent)
        }
        None => (text, 0),
    };

    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };

    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if integer.is_empty()
        || !all_digits(integer)
        || !all_digits(fraction)
        || mantissa.ends_with('.')
    {
        return Err(PriceError::NotANumber);
    }

    let digits = format!("{integer}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() || negative {
        return Err(PriceError::NotPositive);
    }

    // value = significant × 10^(-scale): zeros at the end of the digits move into the exponent.
    let trailing_zeros = digits.len() - digits.trim_end_matches('0').len();
    let fraction_digits = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let scale =
        fraction_digits - i64::from(exponent) - i64::try_from(trailing_zeros).unwrap_or(i64::MAX);
    if significant.len() > MAX_DIGITS as usize {
        return Err(PriceError::TooPrecise);
    }

    let number = significant
        .parse::<i128>()
        .map_err(|_| PriceError::NotANumber)?;
    let (number, scale) = match u32::try_from(scale) {
        Ok(scale) => (number, scale),
        Err(_) => {
            let factor = u32::try_from(-scale)
                .ok()
                .and_then(|zeros| 10_i128.checked_pow(zeros));
            let product = factor.and_then(|factor| number.checked_mul(factor));
            (product.ok_or(PriceError::TooPrecise)?, 0)
        }
    };

    Decimal::try_from_i128_with_scale(number, scale).map_err(|_| PriceError::TooPrecise)
}

impl From<Price> for ExactDecimal {
    fn from(price: Price) -> Self {
        Self::new(
            price.value().mantissa().unsigned_abs(),
            price.value().scale(),
        )
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ExactDecimal::from(*self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        text.parse()
            .map_err(|error| serde::de::Error::custom(format_args!("{text} {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Result<String, PriceError> {
        text.parse::<Price>().map(|price| price.to_string())
    }

    #[test]
    fn every_digit_of_the_text_is_kept_and_trailing_zeros_are_dropped() {
        assert_eq!(price("150.25"), Ok("150.25".to_owned()));
        assert_eq!(price("150.2500"), Ok("150.25".to_owned()));
        assert_eq!(price("0.00000812"), Ok("0.00000812".to_owned()));
        assert_eq!(
            price("99999999999.999999999999999"),
            Ok("99999999999.999999999999999".to_owned())
        );
        assert_eq!(price("1500000"), Ok("1500000".to_owned()));
    }

    #[test]
    fn exponents_are_read_exactly() {
        assert_eq!(price("8.12e-6"), Ok("0.00000812".to_owned()));
        assert_eq!(price("1.5E2"), Ok("150".to_owned()));
        assert_eq!(price("1e10"), Ok("10000000000".to_owned()));
        assert_eq!(price("1500e-3"), Ok("1.5".to_owned()));
    }

    #[test]
    fn more_digits_than_can_be_averaged_exactly_are_refused() {
        for text in [
            "100000000000",
            "1e11",
            "0.000000000000000000001",
            "1e-21",
            "1e2147483647",
            "1e-2147483648",
        ] {
            assert_eq!(price(text), Err(PriceError::TooPrecise), "{text}");
        }

        for text in [
            "99999999999.9999999999999999",
            "1.00000000000000000000000000000000000000000000000001",
        ] {
            assert_eq!(price(text), Err(PriceError::TooPrecise), "{text}");
        }

        assert_eq!(
            PriceError::TooPrecise.to_string(),
            "has more than 11 digits before the point, 20 after it or 26 in all"
        );
    }

    #[test]
    fn doubles_written_by_other_programs_are_prices() {
        for (text, plain) in [
            ("1.2100000000000002", "1.2100000000000002"),
            ("1.2345678E-9", "0.0000000012345678"),
            ("4.35e-12", "0.00000000000435"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("12345678901.000002", "12345678901.000002"),
            ("0.00000000000000000001", "0.00000000000000000001"),
            ("999999.99999999999999999999", "999999.99999999999999999999"),
            ("1000000000000000000000000000e-26", "10"),
        ] {
            assert_eq!(price(text), Ok(plain.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_decimal_is_refused_for_each_of_the_three_limits_by_itself() {
        let decimal =
            |mantissa: i128, scale| Decimal::try_from_i128_with_scale(mantissa, scale).unwrap();
        let price = |mantissa, scale| Price::try_from(decimal(mantissa, scale));

        assert!(price(99_999_999_999, 0).is_ok() && price(1, 20).is_ok());
        assert!(price(10_i128.pow(26) - 1, 15).is_ok());
        assert_eq!(
            price(100_000_000_000, 0),
            Err(PriceError::TooPrecise),
            "12 digits before the point"
        );
        assert_eq!(
            price(1, 21),
            Err(PriceError::TooPrecise),
            "21 digits after it"
        );
        assert_eq!(
            price(10_i128.pow(26) + 1, 16),
            Err(PriceError::TooPrecise),
            "27 digits in all"
        );
    }

    #[test]
    fn what_is_no_positive_number_is_refused() {
        for text in ["0", "0.000", "-1", "-0.5"] {
            assert_eq!(price(text), Err(PriceError::NotPositive), "{text}");
        }
        for text in [
            "", "abc", "1.", ".5", "1..2", "1e", "NaN", "Infinity", "\"1\"", " 1", "+1", "1_000",
        ] {
            assert_eq!(price(text), Err(PriceError::NotANumber), "{text}");
        }
    }

    #[test]
    fn a_json_number_keeps_its_digits_both_ways() {
        let read: Price = serde_json::from_str("99999999999.999999999999999").unwrap();
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            "99999999999.999999999999999"
        );
        assert!(serde_json::from_str::<Price>("\"1.5\"").is_err());
    }
}
