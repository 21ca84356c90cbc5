//! Exact decimals wider than a price, for averages.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Most digits of an [`ExactDecimal`]. A mean of five prices has at most 33; two more leave room to
/// work.
pub(crate) const MAX_DIGITS: u32 = 35;

/// A non-negative decimal, without trailing zeros after the point.
///
/// Sums of prices of different precision have more digits than `rust_decimal` holds: 11 before the
/// point of one, 20 after the point of another, and two more in the mean of four. `rust_decimal`
/// would round them silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExactDecimal {
    mantissa: u128,
    scale: u32,
}

impl ExactDecimal {
    /// The neutral element of addition.
    pub(crate) const ZERO: Self = Self {
        mantissa: 0,
        scale: 0,
    };

    /// `mantissa` × 10^-`scale`.
    pub(crate) fn new(mantissa: u128, scale: u32) -> Self {
        let (mut mantissa, mut scale) = (mantissa, scale);
        while scale > 0 && mantissa.is_multiple_of(10) {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// All digits as one integer.
    pub(crate) fn mantissa(self) -> u128 {
        self.mantissa
    }

    /// The number of digits after the point.
    pub(crate) fn scale(self) -> u32 {
        self.scale
    }

    /// The sum; `None` if it has too many digits.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        Some(Self::new(
            self.units(scale)?.checked_add(other.units(scale)?)?,
            scale,
        ))
    }

    /// The difference; `None` if it is negative or has too many digits.
    pub(crate) fn checked_sub(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        Some(Self::new(
            self.units(scale)?.checked_sub(other.units(scale)?)?,
            scale,
        ))
    }

    /// The value in units of 10^-`scale`; `None` if it has more digits after the point, or too many
    /// in all.
    #[must_use]
    pub fn units(self, scale: u32) -> Option<u128> {
        let places = scale.checked_sub(self.scale)?;
        self.mantissa.checked_mul(10_u128.checked_pow(places)?)
    }
}

impl fmt::Display for ExactDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return self.mantissa.fmt(f);
        }

        // At least one digit before the point, and all digits after it.
        let digits = format!(
            "{:0>width$}",
            self.mantissa,
            width = self.scale as usize + 1
        );
        let (integer, fraction) = digits.split_at(digits.len() - self.scale as usize);
        write!(f, "{integer}.{fraction}")
    }
}

impl Serialize for ExactDecimal {
    /// Writes a JSON number with all digits; for `serde_json` only.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
