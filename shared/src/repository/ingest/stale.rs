//! Marks the folded quarter hours in which a batch changes points (`folding`).

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use super::Error;
use crate::market::Timestamp;

/// Series and the starts of quarter hours.
pub(super) type Quarters = BTreeSet<(i32, Timestamp)>;

/// Marks those of the quarter hours that are folded, after their points were changed in the same
/// transaction. The points that a batch appends are in none of them.
///
/// The lock of `folded_series` waits for upkeep if it is folding one of the series, and then shows
/// how far it has come. The series are locked in order.
pub(super) async fn mark(connection: &mut PgConnection, changed: &Quarters) -> Result<(), Error> {
    if changed.is_empty() {
        return Ok(());
    }

    let (series, starts): (Vec<i32>, Vec<Timestamp>) = changed.iter().copied().unzip();
    sqlx::query(
        "with locked as materialized (
             select series_id, folded_to from folded_series where series_id = any($1) order by series_id for share
         )
         insert into stale_quarters (series_id, starts_at)
         select changed.series_id, changed.starts_at
         from unnest($1::int4[], $2::timestamptz[]) as changed(series_id, starts_at)
         join locked on locked.series_id = changed.series_id and changed.starts_at < locked.folded_to
         on conflict do nothing",
    )
    .bind(series)
    .bind(starts)
    .execute(connection)
    .await?;
    Ok(())
}
