//! What lies before the oldest stored points of a series, as far as the points that are left tell it.
//!
//! Retention drops points that stored averages are of. The average of the oldest point left is of four points that are
//! gone, that of the next one of three of them, and so on: the averages less what is still there are the sums of the
//! newest four, three, two and one of them. The newest prices of all are in the series' tail. So a point that comes late,
//! or is revised, at this edge gets the average that it would have had, and so do its successors.
//!
//! Where units change near the edge, some of the sums cannot be told. Then an average is of as many points as are known,
//! and says how many those are.

use super::late::{Neighbourhood, Row};
use super::series::Series;
use crate::exact_decimal::ExactDecimal;
use crate::moving_average::{MovingAverage, WINDOW, average_after};
use crate::price::Price;

/// The newest prices before the oldest row of a neighbourhood, of that row's unit without a break.
#[derive(Debug)]
pub(super) struct Beyond {
    unit_id: Option<i16>,
    /// At each number, the sum of so many of the newest of them; none where it cannot be told.
    sums: [Option<ExactDecimal>; WINDOW],
    /// The newest of them, oldest first, where each is known by itself.
    prices: Vec<Price>,
}

impl Beyond {
    /// What the rows of a series tell before anything is changed.
    ///
    /// Where the oldest of them has stored rows before it, what is told is the sum of those. No window that is computed
    /// reaches there.
    pub(super) fn of(series: &Series, rows: &Neighbourhood) -> Self {
        let unit_id = rows.values().next().map(|row| row.unit_id);
        let run: Vec<&Row> =
            rows.values().take_while(|row| Some(row.unit_id) == unit_id).take(WINDOW).collect();
        let mut sums = [None; WINDOW];
        let (mut visible, mut places) = (ExactDecimal::ZERO, 0);
        for (row, number) in run.iter().zip(1..) {
            let Some(sum) = visible.checked_add(row.price.into()) else { break };
            visible = sum;
            places = places.max(row.price.value().scale());
            let gone =
                |average: MovingAverage| Some((usize::from(average.points).checked_sub(number)?, average));
            if let Some((gone, average)) = row.average.and_then(gone)
                && let Some(known) = sums.get_mut(gone)
            {
                // Several averages may tell the same sum, and one of three not always to the last digit.
                let told = average.sum(places).checked_sub(visible);
                *known = if average.points == 3 { known.or(told) } else { told };
            }
        }

        // A series of so few rows has prices in its tail that are rows no more.
        let reaches_newest = run.len() == rows.len()
            && rows.last_key_value().map(|(at, _)| *at)
                == series.newest.as_ref().map(|newest| newest.quoted_at);
        let gone = if reaches_newest { series.tail.len().saturating_sub(run.len()) } else { 0 };
        let prices = series.tail[..gone].to_vec();
        let mut sum = Some(ExactDecimal::ZERO);
        for (price, known) in prices.iter().rev().zip(&mut sums[1..]) {
            sum = sum.and_then(|sum| sum.checked_add((*price).into()));
            *known = sum;
        }
        sums[0] = Some(ExactDecimal::ZERO);
        Self { unit_id, sums, prices }
    }

    /// The average of the row at `index`: of the rows of its unit before it, without a break, and of what is known from
    /// before the first one.
    pub(super) fn average(&self, rows: &[&Row], index: usize) -> Option<MovingAverage> {
        let unit_id = rows.get(index)?.unit_id;
        let run = rows[..=index].iter().rev().take_while(|row| row.unit_id == unit_id).take(WINDOW).count();
        let first = index + 1 - run;
        let prices: Vec<Price> = rows[first..=index].iter().map(|row| row.price).collect();
        let room = if first == 0 && self.unit_id == Some(unit_id) { WINDOW - run } else { 0 };
        let (gone, sum) = (0..=room).rev().find_map(|gone| Some((gone, self.sums[gone]?)))?;
        average_after(sum, gone, &prices)
    }

    /// The tail of a series whose newest row is the last one.
    pub(super) fn tail(&self, rows: &Neighbourhood) -> Vec<Price> {
        let unit_id = rows.values().next_back().map(|row| row.unit_id);
        let run = rows.values().rev().take_while(|row| Some(row.unit_id) == unit_id).map(|row| row.price);
        let mut tail: Vec<Price> = run.take(WINDOW - 1).collect();
        if tail.len() == rows.len() && unit_id == self.unit_id {
            let room = WINDOW - 1 - tail.len();
            tail.extend(self.prices.iter().rev().take(room));
        }
        tail.reverse();
        tail
    }
}
