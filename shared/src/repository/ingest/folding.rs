//! Folds the points of past quarter hours, from which candles are read.
//!
//! A stored fold must never differ from the points, also while writers run:
//!
//! - **Appended points** come after their series' newest one. Only quarter hours before that of the
//!   newest point are folded, so no point is ever appended to a folded one. That is why the path of
//!   appended points does nothing for folds.
//! - **Late and corrected points** may lie in a folded quarter hour, or in one that is being folded.
//!   Their writer changes them first, then locks the series' row in `folded_series` in share mode
//!   until its transaction ends, and marks what is folded by then (`stale`). Folding locks the same
//!   row exclusively first, and reads points in later statements. If folding has the lock first, the
//!   writer waits, then sees how far the series is folded, and leaves its mark. If the writer has it
//!   first, the series is passed over until its points are committed, and then read.
//! - **A series that was never folded** has no row to lock. Its row is made while its fence is held:
//!   then no writer is between changing a point and looking for the row, and each later one finds it.
//!   The mark at the fence stays as it is, so that averagers keep what they remember.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::time::Instant;

use super::{Error, shard};
use crate::candle::QUARTER;
use crate::market::{Symbol, Timestamp};
use crate::repository::transaction::BEGIN;

/// How long after the migration that adds the folds nothing is folded: until then, functions of the
/// version before may still change points without marking what is folded.
const OVERLAP: Duration = Duration::from_secs(3_600);
/// The version of that migration.
const MIGRATION: i64 = 31;
/// Series in one transaction.
const BATCH: i64 = 50;
/// Points that are folded in one transaction, in equal shares of its series; of a series, at least those
/// of a quarter hour. A writer of late points may have to wait for the transaction.
const MAX_POINTS: usize = 40_000;
/// Stale quarter hours that are folded again in one transaction.
const MAX_STALE: i64 = 500;

/// Folds the points of all series as far as they can be folded, folds stale quarter hours again, and
/// deletes what is left of dropped points. What is not done by `deadline` is left to the next call.
/// Returns the number of rows written.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. What was folded before stays folded.
pub async fn fold_quarters(pool: &PgPool, deadline: Instant) -> Result<u64, Error> {
    while Instant::now() < deadline && begin_series(pool).await? {}
    while Instant::now() < deadline && forget_removed(pool).await? {}

    // Each pass folds a part of every series that has something to fold. A pass that folds nothing
    // is the last one.
    let (mut rows, mut after, mut has_folded) = (0, i32::MIN, false);

    while Instant::now() < deadline {
        let due = due(pool, after).await?;
        if let Some((last, _)) = due.last() {
            let dropped = due.iter().filter(|(_, dropped)| *dropped);
            trim(pool, dropped.map(|(series, _)| *series).collect()).await?;

            let series = due.iter().map(|(series, _)| *series).collect();
            let folded = fold_batch(pool, series).await?;
            rows += folded.rows;
            has_folded |= folded.spans > 0;
            after = *last;
        } else if has_folded {
            (after, has_folded) = (i32::MIN, false);
        } else {
            break;
        }
    }
    Ok(rows)
}

/// Makes the rows of series that were never folded, and returns whether there may be more.
async fn begin_series(pool: &PgPool) -> Result<bool, Error> {
    let new: Vec<(i32, String)> = sqlx::query_as(
        "select s.series_id, s.symbol from series s
         where s.last_at is not null and not exists (select from folded_series f where f.series_id = s.series_id)
           and not exists (
               select from _sqlx_migrations where version = $1 and installed_on > now() - make_interval(secs => $2)
           )
         order by s.series_id limit $3",
    )
    .bind(MIGRATION)
    .bind(OVERLAP.as_secs_f64())
    .bind(BATCH)
    .fetch_all(pool)
    .await?;

    if new.is_empty() {
        return Ok(false);
    }

    // The fence is known only for symbols spelled as writers spell them; no writer changes others.
    let shard =
        |(_, text): &(i32, String)| text.parse::<Symbol>().ok().map(|symbol| shard::of(&symbol));
    let shards: BTreeSet<i32> = new.iter().filter_map(shard).collect();
    let shards: Vec<i32> = shards.into_iter().collect();
    let (ids, _): (Vec<i32>, Vec<String>) = new.into_iter().unzip();

    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin_with(BEGIN).await?;
    sqlx::query(
        "select from ingest_fences where shard_id = any($1) order by shard_id for no key update",
    )
    .bind(shards)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "insert into folded_series (series_id) select unnest($1::int4[]) on conflict do nothing",
    )
    .bind(&ids)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;

    Ok(i64::try_from(ids.len()).unwrap_or(0) == BATCH)
}

/// Deletes the folds of series that retention has removed, and returns whether there may be more.
async fn forget_removed(pool: &PgPool) -> Result<bool, Error> {
    let removed: Vec<i32> = sqlx::query_scalar(
        "select f.series_id from folded_series f
         where not exists (select from series s where s.series_id = f.series_id)
         order by f.series_id limit $1",
    )
    .bind(BATCH)
    .fetch_all(pool)
    .await?;

    if removed.is_empty() {
        return Ok(false);
    }

    for delete in [
        "delete from folded_quarters where series_id = any($1)",
        "delete from stale_quarters where series_id = any($1)",
        "delete from folded_series where series_id = any($1)",
    ] {
        sqlx::query(delete).bind(&removed).execute(pool).await?;
    }
    Ok(i64::try_from(removed.len()).unwrap_or(0) == BATCH)
}

/// The first series after `after` that have something to fold or to delete, each with whether folds
/// of dropped points are left.
async fn due(pool: &PgPool, after: i32) -> Result<Vec<(i32, bool)>, Error> {
    let due = sqlx::query_as(
        "select f.series_id, dropped.are_left
         from folded_series f
         join series s on s.series_id = f.series_id
         cross join lateral (
             select coalesce(f.folded_from < (select points_from from retention), false) as are_left
         ) dropped
         where f.series_id > $1 and (
             dropped.are_left
             or f.folded_to < date_bin(make_interval(secs => $2), s.last_at, 'epoch')
             or exists (select from stale_quarters q where q.series_id = f.series_id)
         )
         order by f.series_id limit $3",
    )
    .bind(after)
    .bind(quarter_seconds())
    .bind(BATCH)
    .fetch_all(pool)
    .await?;
    Ok(due)
}

/// Deletes the folds of dropped points. No lock is needed: writers skip points before the oldest
/// bound, and readers their folds.
async fn trim(pool: &PgPool, series: Vec<i32>) -> Result<(), Error> {
    if series.is_empty() {
        return Ok(());
    }

    for delete in [
        "delete from folded_quarters q using folded_series f, retention r
         where f.series_id = any($1) and f.folded_from < r.points_from
           and q.series_id = f.series_id and q.starts_at < r.points_from",
        "delete from stale_quarters q using folded_series f, retention r
         where f.series_id = any($1) and f.folded_from < r.points_from
           and q.series_id = f.series_id and q.starts_at < r.points_from",
        "update folded_series f set folded_from = r.points_from from retention r
         where f.series_id = any($1) and f.folded_from < r.points_from",
    ] {
        sqlx::query(delete).bind(&series).execute(pool).await?;
    }
    Ok(())
}

/// Points of a series to fold: those from `from` on, or all, that are before `to`.
#[derive(Debug, sqlx::FromRow)]
struct Span {
    series_id: i32,
    from: Option<Timestamp>,
    to: Timestamp,
}

/// What one transaction folded.
#[derive(Debug)]
struct Folded {
    /// Rows written.
    rows: u64,
    /// Spans of points that they are of. One may have no points any more.
    spans: usize,
}

/// Folds a part of each series. One whose row is locked by a writer is left to the next call: waiting
/// for it would let other writers wait for this transaction.
async fn fold_batch(pool: &PgPool, series: Vec<i32>) -> Result<Folded, Error> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin_with(BEGIN).await?;

    // Compiling a plan would take longer than folding. A crash of Postgres may undo what was just
    // folded, together with how far it was; a mark that follows is later in the log.
    sqlx::raw_sql("set local jit = off; set local synchronous_commit = off")
        .execute(&mut *transaction)
        .await?;

    // 1. Lock first: the statements after this one see what the last holders committed.
    let locked: Vec<i32> = sqlx::query_scalar(
        "select series_id from folded_series where series_id = any($1) order by series_id for update skip locked",
    )
    .bind(series)
    .fetch_all(&mut *transaction)
    .await?;

    // 2. Fold stale quarter hours again.
    let stale = renew_stale(&mut transaction, &locked).await?;

    // 3. Fold on.
    let spans = next_spans(&mut transaction, &locked).await?;
    let rows = insert(&mut transaction, &spans).await?;
    sqlx::query(
        "update folded_series f set folded_to = span.folded_to
         from unnest($1::int4[], $2::timestamptz[]) as span(series_id, folded_to) where f.series_id = span.series_id",
    )
    .bind(spans.iter().map(|span| span.series_id).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| span.to).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await?;

    transaction.commit().await?;
    Ok(Folded {
        rows: stale.rows + rows,
        spans: stale.spans + spans.len(),
    })
}

/// Folds stale quarter hours again, and removes their marks.
async fn renew_stale(connection: &mut PgConnection, series: &[i32]) -> Result<Folded, Error> {
    let stale: Vec<Span> = sqlx::query_as(
        "select series_id, starts_at as \"from\", starts_at + make_interval(secs => $2) as \"to\" from stale_quarters
         where series_id = any($1) order by series_id, starts_at limit $3",
    )
    .bind(series)
    .bind(quarter_seconds())
    .bind(MAX_STALE)
    .fetch_all(&mut *connection)
    .await?;
    if stale.is_empty() {
        return Ok(Folded { rows: 0, spans: 0 });
    }

    for delete in [
        "delete from folded_quarters q using unnest($1::int4[], $2::timestamptz[]) as stale(series_id, starts_at)
         where q.series_id = stale.series_id and q.starts_at = stale.starts_at",
        "delete from stale_quarters q using unnest($1::int4[], $2::timestamptz[]) as stale(series_id, starts_at)
         where q.series_id = stale.series_id and q.starts_at = stale.starts_at",
    ] {
        sqlx::query(delete)
            .bind(stale.iter().map(|span| span.series_id).collect::<Vec<_>>())
            .bind(stale.iter().map(|span| span.from).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }

    let rows = insert(connection, &stale).await?;
    Ok(Folded {
        rows,
        spans: stale.len(),
    })
}

/// What comes next of each series: up to the quarter hour of its newest point, and at most its share
/// of [`MAX_POINTS`] or one quarter hour.
async fn next_spans(connection: &mut PgConnection, series: &[i32]) -> Result<Vec<Span>, Error> {
    let share = MAX_POINTS / series.len().max(1);

    let spans = sqlx::query_as(
        "select f.series_id, nullif(f.folded_to, '-infinity') as \"from\",
                case when beyond.quarter is null then newest.quarter
                     else least(newest.quarter, greatest(beyond.quarter, first.quarter + make_interval(secs => $2)))
                end as \"to\"
         from folded_series f
         join series s on s.series_id = f.series_id
         cross join lateral (select date_bin(make_interval(secs => $2), s.last_at, 'epoch') as quarter) newest
         left join lateral (
             select date_bin(make_interval(secs => $2), quoted_at, 'epoch') as quarter from price_points
             where series_id = f.series_id and quoted_at >= f.folded_to order by quoted_at limit 1
         ) first on true
         left join lateral (
             select date_bin(make_interval(secs => $2), quoted_at, 'epoch') as quarter from price_points
             where series_id = f.series_id and quoted_at >= f.folded_to order by quoted_at offset $3 limit 1
         ) beyond on true
         where f.series_id = any($1) and f.folded_to < newest.quarter",
    )
    .bind(series)
    .bind(quarter_seconds())
    .bind(i64::try_from(share).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    Ok(spans)
}

/// Folds the points of the spans, which begin and end with quarter hours.
async fn insert(connection: &mut PgConnection, spans: &[Span]) -> Result<u64, Error> {
    let inserted = sqlx::query(
        "insert into folded_quarters (starts_at, series_id, points, unit_id, open, high, low, close)
         select quarter.starts_at, span.series_id, quarter.points, quarter.unit_id,
                (select price from price_points where series_id = span.series_id and quoted_at = quarter.first_at),
                quarter.high, quarter.low,
                (select price from price_points where series_id = span.series_id and quoted_at = quarter.last_at)
         from unnest($1::int4[], $2::timestamptz[], $3::timestamptz[]) as span(series_id, from_at, to_at)
         join series s on s.series_id = span.series_id
         cross join lateral (
             select date_bin(make_interval(secs => $4), p.quoted_at, 'epoch') as starts_at,
                    coalesce(p.unit_id, s.old_unit_id, 0) as unit_id, count(*) as points,
                    min(p.quoted_at) as first_at, max(p.quoted_at) as last_at, max(p.price) as high, min(p.price) as low
             from price_points p
             where p.series_id = span.series_id and p.quoted_at >= coalesce(span.from_at, '-infinity')
               and p.quoted_at < span.to_at
             group by 1, 2
         ) quarter",
    )
    .bind(spans.iter().map(|span| span.series_id).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| span.from).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| span.to).collect::<Vec<_>>())
    .bind(quarter_seconds())
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected())
}

fn quarter_seconds() -> f64 {
    QUARTER.to_std().unwrap_or_default().as_secs_f64()
}
