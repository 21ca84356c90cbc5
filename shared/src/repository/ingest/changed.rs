//! Lists the stored points that a batch changed, for clients that follow the changes. Appended
//! points are not listed: they are found by their time.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;

use super::fence::Marks;
use super::series::SeriesState;
use super::{Error, Point};

/// Lists the points under the count that the batch has at the fence of their series. `found` are
/// the marks that the batch found at its fences.
pub(super) async fn list(
    connection: &mut PgConnection,
    series: &[SeriesState],
    points: &[Point],
    found: &Marks,
) -> Result<(), Error> {
    if points.is_empty() {
        return Ok(());
    }

    // The batch is the one after the mark that it found.
    let version = |series: &SeriesState| Some(found.get(&series.shard)?.version + 1);
    let versions: HashMap<i32, i64> = series
        .iter()
        .filter_map(|series| Some((series.series_id, version(series)?)))
        .collect();
    let versions: Option<Vec<i64>> = points
        .iter()
        .map(|point| versions.get(&point.series_id).copied())
        .collect();
    let versions = versions
        .ok_or_else(|| Error::Rejected(sqlx::Error::decode("a changed series has no fence")))?;

    sqlx::query(
        "insert into late_points (series_id, quoted_at, version)
         select * from unnest($1::int4[], $2::timestamptz[], $3::int8[])
         on conflict (series_id, quoted_at) do update set version = excluded.version",
    )
    .bind(
        points
            .iter()
            .map(|point| point.series_id)
            .collect::<Vec<_>>(),
    )
    .bind(
        points
            .iter()
            .map(|point| point.quoted_at)
            .collect::<Vec<_>>(),
    )
    .bind(versions)
    .execute(connection)
    .await?;

    Ok(())
}
