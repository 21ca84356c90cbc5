//! The simple moving average of the last five prices of a series, in exact decimals. That is the
//! average which is stored with each point; [`window`] has those that are computed when they are
//! read.

use crate::exact_decimal::ExactDecimal;
use crate::price::Price;

pub mod window;

/// Number of prices in a full window.
pub const WINDOW: usize = 5;
/// Fewest decimal places of a mean of three, before trailing zeros are dropped.
pub const LEAST_PLACES_OF_THREE: u32 = 6;

/// The mean of the newest price and the up to four before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovingAverage {
    /// Exact for 1, 2, 4 and 5 points. For 3 points, rounded half-even to two more places than the
    /// most precise of them has, and to at least six.
    pub value: ExactDecimal,
    /// The number of averaged points: 1 to [`WINDOW`].
    pub points: u8,
}

/// Averages a window of one to [`WINDOW`] prices; their order does not matter.
///
/// Returns `None` for an empty window and for one that is too long. A sum times 0.5, 0.25 or 0.2 is
/// exact. A third is periodic, so it is rounded; it is never halfway between two values.
///
/// ```
/// use shared::moving_average::average;
///
/// use shared::price::Price;
///
/// # fn main() -> Result<(), shared::price::PriceError> {
/// let window: Vec<Price> = ["10", "10", "11"]
///     .iter()
///     .map(|text| text.parse())
///     .collect::<Result<_, _>>()?;
///
/// let average = average(&window).expect("three prices");
/// assert_eq!(average.value.to_string(), "10.333333");
/// assert_eq!(average.points, 3);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn average(window: &[Price]) -> Option<MovingAverage> {
    average_after(ExactDecimal::ZERO, 0, window)
}

/// Averages a window whose `count` oldest prices are known only by their `sum`.
///
/// Returns `None` if `window` is empty, or if the whole is too long.
#[must_use]
pub(crate) fn average_after(
    sum: ExactDecimal,
    count: usize,
    window: &[Price],
) -> Option<MovingAverage> {
    let prices = || window.iter().map(|price| price.value());
    let scale = prices().map(|price| price.scale()).max()?.max(sum.scale());
    // Five prices with 11 digits before the point and 20 after it have a sum of 32 digits. No mean
    // below needs more than 34 of the 38 digits that fit.
    let units = |price: rust_decimal::Decimal| {
        price.mantissa().unsigned_abs() * 10_u128.pow(scale - price.scale())
    };
    let before = sum
        .mantissa()
        .checked_mul(10_u128.checked_pow(scale - sum.scale())?)?;
    let sum = before + prices().map(units).sum::<u128>();

    let points = count + window.len();
    let value = match points {
        1 => ExactDecimal::new(sum, scale),
        2 => ExactDecimal::new(sum * 5, scale + 1),
        3 => {
            let places = LEAST_PLACES_OF_THREE.max(scale + 2);
            ExactDecimal::new(third(sum * 10_u128.pow(places - scale)), places)
        }
        4 => ExactDecimal::new(sum * 25, scale + 2),
        WINDOW => ExactDecimal::new(sum * 2, scale + 1),
        _ => return None,
    };

    let points = u8::try_from(points).ok()?;
    Some(MovingAverage { value, points })
}

impl MovingAverage {
    /// The sum of the averaged prices. Those that are known have at most `places` decimal places.
    ///
    /// A rounded mean of three has two places more than any of its prices. Three times that mean is
    /// off by one in the last place. This is visible because the sum has neither of the two places.
    /// An exact mean looks the same only if an unknown price has more places than all others and
    /// the sum ends in 01 or 99; the result is then off by that much.
    pub(crate) fn sum(self, places: u32) -> ExactDecimal {
        let mantissa = self.value.mantissa() * u128::from(self.points);

        let rounded = self.points == 3
            && self.value.scale() >= LEAST_PLACES_OF_THREE.max(places + 2)
            && matches!(mantissa % 100, 1 | 99);

        let mantissa = if rounded {
            (mantissa + 1) / 100 * 100
        } else {
            mantissa
        };
        ExactDecimal::new(mantissa, self.value.scale())
    }
}

/// A third of `number`, to the nearest integer.
fn third(number: u128) -> u128 {
    number / 3 + u128::from(number % 3 == 2)
}

#[cfg(test)]
mod tests;
