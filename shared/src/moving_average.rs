//! The simple moving average of the last five prices of a series, in exact decimals.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::price::Price;

/// Number of prices in a full window.
pub const WINDOW: usize = 5;

/// The mean of the newest price and the up to four before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovingAverage {
    /// Exact for 1, 2, 4 and 5 points; of 3 points rounded to two more decimals than the most precise of them has.
    pub value: Decimal,
    /// How many points it is of: 1 to [`WINDOW`].
    pub points: u8,
}

/// Averages a window of one to [`WINDOW`] prices; their order does not matter.
///
/// Returns `None` for an empty window and one that is too long. A sum times 0.5, 0.25 or 0.2 is exact, and within
/// the digits of a [`Price`] fits [`Decimal`]; a third is periodic, so it is rounded, never at a tie.
///
/// ```
/// use shared::moving_average::average;
///
/// let window: Vec<_> = ["100", "101", "99", "102", "98"].iter().filter_map(|text| text.parse().ok()).collect();
/// let average = average(&window).expect("five prices");
/// assert_eq!((average.value.to_string().as_str(), average.points), ("100", 5));
/// ```
#[must_use]
pub fn average(window: &[Price]) -> Option<MovingAverage> {
    let sum: Decimal = window.iter().map(|price| price.value()).sum();
    let value = match window.len() {
        1 => sum,
        2 => sum * Decimal::new(5, 1),
        3 => {
            let scale = window.iter().map(|price| price.value().scale()).max().unwrap_or(0);
            (sum / Decimal::from(3)).round_dp_with_strategy(scale + 2, RoundingStrategy::MidpointAwayFromZero)
        }
        4 => sum * Decimal::new(25, 2),
        WINDOW => sum * Decimal::new(2, 1),
        _ => return None,
    };
    let points = u8::try_from(window.len()).ok()?;
    Some(MovingAverage { value: value.normalize(), points })
}

#[cfg(test)]
mod tests {
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
        assert_eq!(average_of(&["10", "10", "10", "10", "10.000000000000001"]), "10.0000000000000002");
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

    #[test]
    fn three_points_are_rounded_to_two_more_decimals_than_the_most_precise_has() {
        assert_eq!(average_of(&["1", "1", "2"]), "1.33");
        assert_eq!(average_of(&["0.1", "0.1", "0.15"]), "0.1167");
    }

    #[test]
    fn no_window_and_a_window_too_long_have_no_average() {
        assert_eq!(average(&[]), None);
        assert_eq!(average(&["1".parse().unwrap(); 6]), None);
    }
}
