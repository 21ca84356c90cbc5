//! Averages over windows of any length, computed when they are read.
//!
//! The **simple** average (SMA) is the mean of the newest `window` prices.
//!
//! The **exponential** average (EMA) gives newer prices more weight. It begins with the mean of
//! `window` prices; each later price p moves it from e to e + (p − e) × 2 / (`window` + 1). TA-Lib
//! and most charts define it so, the seed included.
//!
//! Such an average depends on all prices since the first one. So that it can be computed from
//! stored points in a bounded time, and is the same for every reader, it is taken over the newest
//! [`SPAN`] × `window` prices at most. The prices before them would together have a weight of less
//! than 2 × 10⁻⁸: ((`window` − 1) / (`window` + 1)) to the power of 9 × `window` is less than e⁻¹⁸.
//!
//! Both are computed as fractions of whole numbers and rounded once, as the stored averages are.

use std::str::FromStr;

use num_bigint::BigUint;

use super::LEAST_PLACES_OF_THREE as LEAST_PLACES;
use crate::exact_decimal::ExactDecimal;
use crate::price::Price;

/// Fewest prices in a window.
pub const MIN_WINDOW: usize = 2;
/// Most prices in a window.
pub const MAX_WINDOW: usize = 200;
/// How many windows of prices an exponential average is of, at most.
pub const SPAN: usize = 10;

/// How the prices of a window are weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// All alike.
    #[default]
    Simple,
    /// The newer, the more.
    Exponential,
}

/// Why a text is not the name of a [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of sma, ema")]
pub struct KindError;

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let named = |kind: &Self| kind.name() == text;
        Self::ALL.into_iter().find(named).ok_or(KindError)
    }
}

impl Kind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Simple, Self::Exponential];

    /// Its name in requests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "sma",
            Self::Exponential => "ema",
        }
    }

    /// Most prices that an average of this kind is of.
    #[must_use]
    pub const fn most_points(self, window: usize) -> usize {
        match self {
            Self::Simple => window,
            Self::Exponential => SPAN * window,
        }
    }
}

/// An average, and how many prices it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowAverage {
    /// Rounded half-even to two more decimal places than the most precise of the prices has, and to
    /// at least six. For one, two, four and five prices a simple average is exact.
    pub value: ExactDecimal,
    /// The number of averaged prices, at least one.
    pub points: usize,
}

/// Averages the newest prices of a series, which are given newest first; those beyond
/// [`Kind::most_points`] have no effect.
///
/// If there are no more prices than `window`, both kinds are the mean of all of them. Returns
/// `None` if there are none, or `window` is zero or greater than [`MAX_WINDOW`].
#[must_use]
pub fn of_newest(kind: Kind, window: usize, newest_first: &[Price]) -> Option<WindowAverage> {
    if window > MAX_WINDOW {
        return None;
    }

    let points = newest_first.len().min(kind.most_points(window));
    let prices = &newest_first[..points];
    let scale = prices.iter().map(|price| price.value().scale()).max()?;

    // Each below 10^31, so that the sum of 200 fits.
    let units = |price: &Price| ExactDecimal::from(*price).units(scale);
    let units: Vec<u128> = prices.iter().rev().map(units).collect::<Option<_>>()?;
    let (first, later) = units.split_at(points.min(window));

    let places = LEAST_PLACES.max(scale + 2);
    let factor = 10_u128.pow(places - scale);
    let (dividend, divisor) = exponential(first, later);

    let mantissa = nearest(&(dividend * factor), &divisor)?;
    let value = ExactDecimal::new(mantissa, places);
    Some(WindowAverage { value, points })
}

/// The average as a fraction: the mean of the `first` prices, moved by each of the `later` ones.
///
/// After k later prices it is `dividend` / (`window` × (`window` + 1)^k). The step from e to
/// (e × (`window` − 1) + 2 × p) / (`window` + 1) keeps the dividend a whole number.
fn exponential(first: &[u128], later: &[u128]) -> (BigUint, BigUint) {
    let window = first.len();
    let mut dividend = BigUint::from(first.iter().sum::<u128>());
    let mut divisor = BigUint::from(window);

    for price in later {
        dividend = dividend * (window - 1) + &divisor * *price * 2_u32;
        divisor *= window + 1;
    }
    (dividend, divisor)
}

/// The quotient, rounded half-even; `None` if it is too large for a mantissa or `divisor` is zero.
fn nearest(dividend: &BigUint, divisor: &BigUint) -> Option<u128> {
    if *divisor == BigUint::ZERO {
        return None;
    }

    let quotient = u128::try_from(dividend / divisor).ok()?;
    let twice_rest = (dividend % divisor) * 2_u32;
    let is_odd = quotient % 2 == 1;
    let rounds_up = twice_rest > *divisor || (twice_rest == *divisor && is_odd);
    Some(quotient + u128::from(rounds_up))
}

#[cfg(test)]
mod tests;
