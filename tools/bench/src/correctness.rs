//! Checks what was stored: as many points as quotes, and every average the mean of its last up to
//! five prices.

use anyhow::ensure;

use crate::postgres::Server;

/// What the table of points holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredPoints {
    pub(crate) points: i64,
    /// Size on disk, indexes included.
    pub(crate) bytes_per_point: f64,
}

/// Checks every point, and that there are as many as expected.
///
/// A mean of one, two, four or five prices is exact; of three it is rounded to two places more than
/// the most precise of them has, and at least six.
pub(crate) async fn check(server: &Server, expected: usize) -> anyhow::Result<StoredPoints> {
    let mut connection = server.connection().await?;
    let (points, wrong): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where
             points <> number
             or case number when 3 then moving_average <> round(sum::numeric(60, 30) / 3, greatest(6, places + 2))
                            else moving_average * number <> sum end)
         from (select points, moving_average, count(*) over latest as number, sum(price) over latest as sum,
                      max(scale(trim_scale(price))) over latest as places
               from price_points
               window latest as (partition by series_id order by quoted_at rows 4 preceding)) averaged",
    )
    .fetch_one(&mut connection)
    .await?;

    ensure!(
        wrong == 0,
        "{wrong} of {points} averages are wrong: the figures mean nothing"
    );
    ensure!(
        points == i64::try_from(expected)?,
        "{points} points instead of {expected}: the figures mean nothing"
    );

    let bytes: i64 = sqlx::query_scalar(
        "select sum(pg_total_relation_size(relid))::int8 from pg_partition_tree('price_points') where isleaf",
    )
    .fetch_one(&mut connection)
    .await?;

    Ok(StoredPoints {
        points,
        bytes_per_point: bytes as f64 / points.max(1) as f64,
    })
}
