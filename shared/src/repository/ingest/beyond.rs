//! Derives what retention dropped before the oldest stored points of a series, as far as the
//! remaining rows show it.
//!
//! A stored average may include points that retention has dropped. The average of the oldest
//! remaining point includes four of them, that of the next point three, and so on. An average's sum
//! less the prices that remain is the sum of the newest four, three, two or one dropped prices. The
//! newest prices of the series are in its tail. So a point that arrives late or is revised at this
//! edge gets the average that it would have had, and so do its successors.
//!
//! Where units change near the edge, some of these sums cannot be derived. Then an average is over
//! as many points as are known, and states their number.

use super::late::{Neighbourhood, Row};
use super::series::SeriesState;
use crate::exact_decimal::ExactDecimal;
use crate::moving_average::{MovingAverage, WINDOW, average_after};
use crate::price::Price;

/// The newest prices before the oldest row of a neighbourhood, as long as they have that row's unit
/// without a break.
#[derive(Debug)]
pub(super) struct Beyond {
    unit_id: Option<i16>,
    /// At index n, the sum of the newest n of these prices; `None` if it cannot be derived.
    sums: [Option<ExactDecimal>; WINDOW],
    /// The newest of these prices, oldest first, where each is known by itself.
    prices: Vec<Price>,
}

impl Beyond {
    /// Derives the prices and sums from the rows of a series before any of them is changed.
    ///
    /// If stored rows come before the oldest of them, the sums include those rows. No window that
    /// is computed reaches that far.
    pub(super) fn of(series: &SeriesState, rows: &Neighbourhood) -> Self {
        let unit_id = rows.values().next().map(|row| row.unit_id);
        let run: Vec<&Row> = rows
            .values()
            .take_while(|row| Some(row.unit_id) == unit_id)
            .take(WINDOW)
            .collect();

        let mut sums = [None; WINDOW];
        let (mut visible, mut places) = (ExactDecimal::ZERO, 0);

        for (row, number) in run.iter().zip(1..) {
            let Some(sum) = visible.checked_add(row.price.into()) else {
                break;
            };
            visible = sum;
            places = places.max(row.price.value().scale());

            let gone = |average: MovingAverage| {
                Some((usize::from(average.points).checked_sub(number)?, average))
            };
            if let Some((gone, average)) = row.average.and_then(gone)
                && let Some(known) = sums.get_mut(gone)
            {
                // Several averages may give the same sum. Those of three points are rounded, so any
                // other one takes precedence.
                let told = average.sum(places).checked_sub(visible);
                *known = if average.points == 3 {
                    known.or(told)
                } else {
                    told
                };
            }
        }

        // A series with fewer rows than its tail has prices keeps dropped prices in the tail.
        let reaches_newest = run.len() == rows.len()
            && rows.last_key_value().map(|(at, _)| *at)
                == series.newest.as_ref().map(|newest| newest.quoted_at);
        let gone = if reaches_newest {
            series.tail.len().saturating_sub(run.len())
        } else {
            0
        };
        let prices = series.tail[..gone].to_vec();

        // Prices of the tail are exact, so their sums replace those of the averages.
        let mut sum = Some(ExactDecimal::ZERO);
        for (price, known) in prices.iter().rev().zip(&mut sums[1..]) {
            sum = sum.and_then(|sum| sum.checked_add((*price).into()));
            *known = sum;
        }

        sums[0] = Some(ExactDecimal::ZERO);
        Self {
            unit_id,
            sums,
            prices,
        }
    }

    /// The average of the row at `index`: over the preceding rows with its unit, without a break,
    /// and over what is known from before the first row.
    pub(super) fn average(&self, rows: &[&Row], index: usize) -> Option<MovingAverage> {
        let unit_id = rows.get(index)?.unit_id;
        let run = rows[..=index]
            .iter()
            .rev()
            .take_while(|row| row.unit_id == unit_id)
            .take(WINDOW)
            .count();
        let first = index + 1 - run;

        let prices: Vec<Price> = rows[first..=index].iter().map(|row| row.price).collect();
        let room = if first == 0 && self.unit_id == Some(unit_id) {
            WINDOW - run
        } else {
            0
        };

        let (gone, sum) = (0..=room)
            .rev()
            .find_map(|gone| Some((gone, self.sums[gone]?)))?;
        average_after(sum, gone, &prices)
    }

    /// The tail of a series whose newest row is the last one of `rows`.
    pub(super) fn tail(&self, rows: &Neighbourhood) -> Vec<Price> {
        let unit_id = rows.values().next_back().map(|row| row.unit_id);
        let run = rows
            .values()
            .rev()
            .take_while(|row| Some(row.unit_id) == unit_id)
            .map(|row| row.price);
        let mut tail: Vec<Price> = run.take(WINDOW - 1).collect();

        if tail.len() == rows.len() && unit_id == self.unit_id {
            let room = WINDOW - 1 - tail.len();
            tail.extend(self.prices.iter().rev().take(room));
        }

        tail.reverse();
        tail
    }
}
