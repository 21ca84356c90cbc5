//! Partitions by time: created ahead of need, dropped by age.
//!
//! A table's partitions cover all of time: the first starts at MINVALUE (until retention drops it),
//! the last ends at MAXVALUE, and there is no DEFAULT. Creating partitions ahead therefore means
//! splitting the last one. It is empty or nearly so, and the work under the table's lock
//! (`locking`) takes milliseconds.

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgPool};

use super::Error;
use crate::market::Timestamp;

mod locking;
mod period;

pub use locking::PartitionError;
pub use period::Period;

/// Most partitions created in one call. A clock that is years ahead must not create thousands of
/// them under one lock.
const MOST_AT_ONCE: usize = 62;

/// A table that is partitioned by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionedTable {
    /// The table's name, which is also the prefix of its partitions' names.
    pub(super) name: &'static str,
    /// The column that assigns a row to its partition.
    column: &'static str,
    /// The time span of one partition.
    period: Period,
    /// How many periods after the current one have a partition.
    ahead: u32,
}

/// The price points, by quote time.
pub const PRICE_POINTS: PartitionedTable = PartitionedTable {
    name: "price_points",
    column: "quoted_at",
    period: Period::Month,
    ahead: 3,
};
/// The raw responses, by their arrival.
pub const RAW_RESPONSES: PartitionedTable = PartitionedTable {
    name: "raw_responses",
    column: "received_at",
    period: Period::Day,
    ahead: 7,
};

/// A partition and its bounds.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Partition {
    /// Its name, quoted as an SQL identifier.
    name: String,
    /// The lower bound, included; `None` is MINVALUE.
    lower: Option<Timestamp>,
    /// The upper bound, excluded; `None` is MAXVALUE.
    upper: Option<Timestamp>,
}

/// Creates the partitions of the periods after `now`, as many as the table has ahead, and returns
/// their number. Rows that are already in the last partition move to their new one.
///
/// # Errors
/// When Postgres is unavailable, or the table is in use. Then nothing was changed, and the call may
/// be repeated.
pub async fn make_ahead(
    pool: &PgPool,
    table: PartitionedTable,
    now: Timestamp,
) -> Result<usize, PartitionError> {
    let mut connection = pool.acquire().await?;

    match table.make_ahead(&mut connection, now).await {
        Ok(made) => Ok(made),
        Err(error) => Err(table.explain(&mut connection, error).await),
    }
}

/// Drops the partitions that hold nothing younger than `cutoff`, and returns their number. Points
/// that arrive for a dropped partition afterwards are expired.
///
/// # Errors
/// When Postgres is unavailable, or the table is in use. Then nothing was changed, and the call may
/// be repeated.
pub async fn drop_before(
    pool: &PgPool,
    table: PartitionedTable,
    cutoff: Timestamp,
) -> Result<usize, PartitionError> {
    let mut connection = pool.acquire().await?;

    match table.drop_before(&mut connection, cutoff).await {
        Ok(dropped) => Ok(dropped),
        Err(error) => Err(table.explain(&mut connection, error).await),
    }
}

/// The time of the newest row; `None` if there is none. Partitions are searched from the newest one
/// back.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn newest(pool: &PgPool, table: PartitionedTable) -> Result<Option<Timestamp>, Error> {
    let mut connection = pool.acquire().await?;

    for partition in table.partitions(&mut connection).await?.iter().rev() {
        let newest = format!("select max({}) from {}", table.column, partition.name);
        let newest: Option<Timestamp> = sqlx::query_scalar(AssertSqlSafe(newest))
            .fetch_one(&mut *connection)
            .await?;
        if newest.is_some() {
            return Ok(newest);
        }
    }

    Ok(None)
}

/// Whether some partitions hold nothing younger than `cutoff`.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn any_before(
    pool: &PgPool,
    table: PartitionedTable,
    cutoff: Timestamp,
) -> Result<bool, Error> {
    let mut connection = pool.acquire().await?;
    Ok(!table.older(&mut connection, cutoff).await?.is_empty())
}

impl PartitionedTable {
    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    async fn make_ahead(
        &self,
        connection: &mut PgConnection,
        now: Timestamp,
    ) -> Result<usize, Error> {
        let horizon = self.period.start_after(now, self.ahead + 1);
        if self.uncut(connection, horizon).await?.is_none() {
            return Ok(0);
        }

        let mut transaction = self.lock(connection).await?;
        // Read again under the lock: another upkeep may have created the partitions meanwhile.
        let Some(last) = self.uncut(&mut transaction, horizon).await? else {
            return Ok(0);
        };

        let made = self.cut(&mut transaction, &last, now, horizon).await?;
        transaction.commit().await?;
        Ok(made)
    }

    async fn drop_before(
        &self,
        connection: &mut PgConnection,
        cutoff: Timestamp,
    ) -> Result<usize, Error> {
        if self.older(connection, cutoff).await?.is_empty() {
            return Ok(0);
        }

        let mut transaction = self.lock(connection).await?;

        // Read again under the lock: another upkeep may have dropped partitions meanwhile.
        let old = self.older(&mut transaction, cutoff).await?;
        if *self == PRICE_POINTS {
            sqlx::query("update retention set points_from = greatest(points_from, $1)")
                .bind(old.iter().filter_map(|partition| partition.upper).max())
                .execute(&mut *transaction)
                .await?;

            // Their points are counted again. No writer has a row of `series` locked: it would have
            // used the points before, and kept their lock.
            sqlx::query(
                "update series set point_count = null where first_at < (select points_from from retention)",
            )
            .execute(&mut *transaction)
            .await?;
        }

        for partition in &old {
            run(&mut transaction, format!("drop table {}", partition.name)).await?;
        }

        transaction.commit().await?;
        Ok(old.len())
    }

    /// All partitions, in order of time.
    async fn partitions(&self, connection: &mut PgConnection) -> Result<Vec<Partition>, Error> {
        let partitions = sqlx::query_as(
            r"select part.oid::regclass::text as name,
                     (regexp_match(bound, 'FROM \(''([^'']+)''\)'))[1]::timestamptz as lower,
                     (regexp_match(bound, 'TO \(''([^'']+)''\)'))[1]::timestamptz as upper
              from pg_inherits
              join pg_class part on part.oid = inhrelid
              cross join lateral pg_get_expr(part.relpartbound, part.oid) as bound
              where inhparent = $1::regclass
              order by lower nulls first",
        )
        .bind(self.name)
        .fetch_all(connection)
        .await?;
        Ok(partitions)
    }

    /// The last partition; `None` if it begins at the horizon or later, so that there is nothing to
    /// split.
    async fn uncut(
        &self,
        connection: &mut PgConnection,
        horizon: Timestamp,
    ) -> Result<Option<Partition>, Error> {
        let last = self.partitions(connection).await?.pop();
        Ok(last
            .filter(|last| last.upper.is_none() && last.lower.is_none_or(|lower| lower < horizon)))
    }

    /// The partitions that end at `cutoff` or before; never the last, which has no end.
    async fn older(
        &self,
        connection: &mut PgConnection,
        cutoff: Timestamp,
    ) -> Result<Vec<Partition>, Error> {
        let mut partitions = self.partitions(connection).await?;
        partitions.retain(|partition| partition.upper.is_some_and(|upper| upper <= cutoff));
        Ok(partitions)
    }

    /// Ends the last partition after its newest row before the horizon, creates one for each period
    /// from there on, and a new last one. Rows from the horizon on (a producer's clock may be far
    /// ahead) move to the new last partition.
    async fn cut(
        &self,
        connection: &mut PgConnection,
        last: &Partition,
        now: Timestamp,
        horizon: Timestamp,
    ) -> Result<usize, Error> {
        let Self {
            name: table,
            column,
            period,
            ..
        } = self;

        // Detached first: its bounds overlap those of the new partitions.
        run(
            connection,
            format!("alter table {table} detach partition {}", last.name),
        )
        .await?;

        let newest = format!(
            "select max({column}) from {} where {column} < $1",
            last.name
        );
        let newest: Option<Timestamp> = sqlx::query_scalar(AssertSqlSafe(newest))
            .bind(horizon)
            .fetch_one(&mut *connection)
            .await?;

        // The very first partition takes everything that is older than the current period.
        let least = last
            .lower
            .map_or(period.start_of(now), |lower| period.start_after(lower, 1));
        let end = newest
            .map_or(least, |newest| period.start_after(newest, 1).max(least))
            .min(horizon);

        // Over a gap of more than [`MOST_AT_ONCE`] periods, the last one keeps everything up to the
        // current period.
        let far_back = period.starts(end, horizon).nth(MOST_AT_ONCE).is_some();
        let end = if far_back {
            end.max(period.start_of(now))
        } else {
            end
        };

        let mut made = 0;
        for start in period.starts(end, horizon) {
            self.create(connection, start, &literal(period.start_after(start, 1)))
                .await?;
            made += 1;
        }

        self.create(connection, horizon, "maxvalue").await?;

        // Moved before it is attached again: Postgres refuses a partition with rows outside its
        // bounds.
        let moved = format!(
            "with moved as (delete from {} where {column} >= {} returning *) insert into {table} select * from moved",
            last.name,
            literal(end),
        );
        run(connection, moved).await?;

        let lower = last.lower.map_or_else(|| "minvalue".to_owned(), literal);
        let bounds = format!("from ({lower}) to ({})", literal(end));
        run(
            connection,
            format!(
                "alter table {table} attach partition {} for values {bounds}",
                last.name
            ),
        )
        .await?;

        Ok(made + 1)
    }

    async fn create(
        &self,
        connection: &mut PgConnection,
        lower: Timestamp,
        upper: &str,
    ) -> Result<(), Error> {
        let name = format!("{}_from_{}", self.name, lower.format("%Y%m%d"));
        let bounds = format!("from ({}) to ({upper})", literal(lower));
        run(
            connection,
            format!(
                "create table {name} partition of {} for values {bounds}",
                self.name
            ),
        )
        .await
    }
}

fn literal(moment: Timestamp) -> String {
    format!("'{}'", moment.to_rfc3339())
}

/// Runs a statement without parameters. It is built from constants, catalog names and formatted
/// times only, nothing from outside.
async fn run(connection: &mut PgConnection, statement: String) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}
