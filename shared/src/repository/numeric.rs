//! [`ExactDecimal`] as Postgres's `numeric`, in its binary form: `numeric_send` and `numeric_recv`
//! in `numeric.c`.
//!
//! The form is a count of digits in base 10,000, the weight of the first one, a sign, and the
//! number of decimal places shown, followed by the digits. It is implemented here because an
//! average may have more digits than `rust_decimal` holds.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type, TypeInfo};

use crate::exact_decimal::{ExactDecimal, MAX_DIGITS};

const BASE: u128 = 10_000;
/// Decimal digits in one group, a digit in base 10,000.
const GROUP: u32 = 4;
/// Groups of a number with the most digits, plus one if the decimal point splits a group.
const MAX_GROUPS: usize = 10;
const POSITIVE: u16 = 0;

/// Writes `mantissa` × 10^-`scale` in the binary form; a mantissa has at most 35 digits.
pub(super) fn put(data: &mut Vec<u8>, mantissa: u128, scale: u32) {
    // Fill the fraction up to whole groups; three digits more still fit.
    let mut number = mantissa * 10_u128.pow((GROUP - scale % GROUP) % GROUP);
    let fraction_groups = i16::try_from(scale.div_ceil(GROUP)).unwrap_or(i16::MAX);

    let mut groups = [0_u16; MAX_GROUPS];
    let mut count = 0_usize;
    let mut dropped = 0_i16; // trailing groups of zeros are not sent
    while number > 0 {
        let group = u16::try_from(number % BASE).unwrap_or(0);
        number /= BASE;
        if group == 0 && count == 0 {
            dropped += 1;
            continue;
        }
        groups[count] = group;
        count += 1;
    }

    let sent = i16::try_from(count).unwrap_or(i16::MAX);
    let weight = sent + dropped - fraction_groups - 1;
    data.extend_from_slice(&sent.to_be_bytes());
    data.extend_from_slice(&weight.to_be_bytes());
    data.extend_from_slice(&POSITIVE.to_be_bytes());
    data.extend_from_slice(&u16::try_from(scale).unwrap_or(u16::MAX).to_be_bytes());

    for group in groups[..count].iter().rev() {
        data.extend_from_slice(&group.to_be_bytes());
    }
}

/// Reads the binary form; `None` for a negative number, a special value, or too many digits.
fn read(bytes: &[u8]) -> Option<ExactDecimal> {
    let mut fields = bytes.chunks_exact(2).map(|field| [field[0], field[1]]);
    let mut next = || fields.next();
    let count = u16::from_be_bytes(next()?);
    let weight = i32::from(i16::from_be_bytes(next()?));
    let (sign, scale) = (
        u16::from_be_bytes(next()?),
        u32::from(u16::from_be_bytes(next()?)),
    );

    if sign != POSITIVE {
        return None;
    }

    let mut mantissa = 0_u128;
    for _ in 0..count {
        mantissa = mantissa
            .checked_mul(BASE)?
            .checked_add(u128::from(u16::from_be_bytes(next()?)))?;
    }

    // The last group sent has this power of ten; the number is converted to exactly `scale` places.
    let exponent = (weight - i32::from(count) + 1) * GROUP.cast_signed() + scale.cast_signed();
    let factor = 10_u128.checked_pow(exponent.unsigned_abs())?;
    let mantissa = if exponent >= 0 {
        mantissa.checked_mul(factor)?
    } else {
        mantissa / factor
    };

    let decimal = ExactDecimal::new(mantissa, scale);
    (decimal.mantissa() < 10_u128.pow(MAX_DIGITS)).then_some(decimal)
}

impl Type<Postgres> for ExactDecimal {
    fn type_info() -> PgTypeInfo {
        <rust_decimal::Decimal as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for ExactDecimal {
    fn array_type_info() -> PgTypeInfo {
        <rust_decimal::Decimal as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for ExactDecimal {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put(buffer, self.mantissa(), self.scale());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for ExactDecimal {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() != PgValueFormat::Binary {
            return Err(format!("{} is read in binary form only", Self::type_info().name()).into());
        }
        read(value.as_bytes()?)
            .ok_or_else(|| "a stored number is negative, or has too many digits".into())
    }
}

#[cfg(test)]
mod tests;
