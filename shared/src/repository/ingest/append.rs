//! Writes points: appends new ones, and overwrites stored rows with changed ones.

use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;

use super::{Error, Point, binary_copy};

/// From this many points on, COPY is faster than one INSERT of arrays, although it takes more round
/// trips.
pub(super) const COPY_FROM: usize = 500;

/// Appends points that are known to be new. If one exists after all, the primary key aborts the
/// transaction.
pub(super) async fn points(connection: &mut PgConnection, points: &[Point]) -> Result<(), Error> {
    debug_assert!(
        points.is_sorted_by_key(|point| (point.series_id, point.quoted_at)),
        "points are ordered by series and quote time"
    );

    match points.len() {
        0 => Ok(()),
        1..COPY_FROM => insert(connection, points, INSERT).await,
        _ => binary_copy::points(connection, points).await,
    }
}

/// Writes points, and overwrites those stored with the same series and quote time.
pub(super) async fn upsert(connection: &mut PgConnection, points: &[Point]) -> Result<(), Error> {
    if points.is_empty() {
        return Ok(());
    }
    insert(connection, points, UPSERT).await
}

const INSERT: &str = "insert into price_points
         (quoted_at, polled_at, event_id, series_id, points, price, moving_average, unit_id)
     select * from unnest($1::timestamptz[], $2::timestamptz[], $3::uuid[], $4::int4[], $5::int2[], $6::numeric[],
                          $7::numeric[], $8::int2[])";

const UPSERT: &str = "insert into price_points
         (quoted_at, polled_at, event_id, series_id, points, price, moving_average, unit_id)
     select * from unnest($1::timestamptz[], $2::timestamptz[], $3::uuid[], $4::int4[], $5::int2[], $6::numeric[],
                          $7::numeric[], $8::int2[])
     on conflict (series_id, quoted_at) do update
         set polled_at = excluded.polled_at, event_id = excluded.event_id, points = excluded.points,
             price = excluded.price, moving_average = excluded.moving_average, unit_id = excluded.unit_id";

async fn insert(
    connection: &mut PgConnection,
    points: &[Point],
    statement: &'static str,
) -> Result<(), Error> {
    bind(sqlx::query(statement), points)
        .execute(connection)
        .await?;
    Ok(())
}

/// Binds the columns of the points to a statement, as eight arrays.
pub(super) fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    points: &[Point],
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(
            points
                .iter()
                .map(|point| point.quoted_at)
                .collect::<Vec<_>>(),
        )
        .bind(
            points
                .iter()
                .map(|point| point.polled_at)
                .collect::<Vec<_>>(),
        )
        .bind(
            points
                .iter()
                .map(|point| point.event_id)
                .collect::<Vec<_>>(),
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
                .map(|point| i16::from(point.average.points))
                .collect::<Vec<_>>(),
        )
        .bind(
            points
                .iter()
                .map(|point| point.price.value())
                .collect::<Vec<_>>(),
        )
        .bind(
            points
                .iter()
                .map(|point| point.average.value)
                .collect::<Vec<_>>(),
        )
        .bind(points.iter().map(|point| point.unit_id).collect::<Vec<_>>())
}
