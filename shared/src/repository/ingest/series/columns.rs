//! The columns of series to write back, as arrays.

use rust_decimal::Decimal;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::{Newest, SeriesState};

/// The series that must be written back, each with its newest point.
pub(in crate::repository::ingest) fn changed(
    series: &[SeriesState],
) -> Vec<(&SeriesState, &Newest)> {
    let changed = series.iter().filter(|series| series.changed);
    changed
        .filter_map(|series| Some((series, series.newest.as_ref()?)))
        .collect()
}

/// Binds the columns of the series to a statement, as eleven arrays.
pub(in crate::repository::ingest) fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    changed: &[(&SeriesState, &Newest)],
) -> Query<'q, Postgres, PgArguments> {
    let tail = |from_end: usize| -> Vec<Option<Decimal>> {
        let price = |series: &SeriesState| {
            Some(series.tail[series.tail.len().checked_sub(from_end)?].value())
        };
        changed.iter().map(|(series, _)| price(series)).collect()
    };
    let currency = |newest: &Newest| {
        newest
            .currency
            .as_ref()
            .map(|currency| currency.as_str().to_owned())
    };

    query
        .bind(
            changed
                .iter()
                .map(|(series, _)| series.series_id)
                .collect::<Vec<_>>(),
        )
        .bind(
            changed
                .iter()
                .map(|(_, newest)| newest.quoted_at)
                .collect::<Vec<_>>(),
        )
        .bind(
            changed
                .iter()
                .map(|(_, newest)| newest.polled_at)
                .collect::<Vec<_>>(),
        )
        .bind(tail(1))
        .bind(
            changed
                .iter()
                .map(|(_, newest)| newest.average.value)
                .collect::<Vec<_>>(),
        )
        .bind(
            changed
                .iter()
                .map(|(_, newest)| i16::from(newest.average.points))
                .collect::<Vec<_>>(),
        )
        .bind(
            changed
                .iter()
                .map(|(_, newest)| currency(newest))
                .collect::<Vec<_>>(),
        )
        .bind(tail(4))
        .bind(tail(3))
        .bind(tail(2))
        .bind(
            changed
                .iter()
                .map(|(series, _)| series.added.count)
                .collect::<Vec<_>>(),
        )
}
