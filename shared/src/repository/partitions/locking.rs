//! The lock of a whole table. A session that waits for it blocks all that come after, so the wait
//! is short, and if the lock is not granted, its holders are named.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres, Transaction};

use super::{PartitionedTable, run};
use crate::repository::Error;
use crate::repository::transaction::BEGIN;

/// How long to wait for the lock, and so how long reads and writes that arrive meanwhile are
/// blocked.
const LOCK_TIMEOUT: Duration = Duration::from_millis(250);
/// Most holders that are named.
const MAX_HOLDERS: i64 = 3;

/// Why a table's partitions were not changed. No part of the change was made.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// Other sessions use the table for longer than the lock timeout.
    #[error("{table} is in use by {holders}")]
    Busy {
        /// The table.
        table: &'static str,
        /// The sessions that use it, and since when.
        holders: String,
    },
    /// Any other error of Postgres.
    #[error(transparent)]
    Postgres(#[from] Error),
}

impl PartitionError {
    /// Whether the table was in use: the next attempt may find it free.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

impl From<sqlx::Error> for PartitionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Postgres(error.into())
    }
}

/// A session that uses a table.
#[derive(Debug, sqlx::FromRow)]
struct Holder {
    pid: i32,
    name: String,
    state: Option<String>,
    seconds: Option<f64>,
}

impl PartitionedTable {
    /// Begins a transaction with exclusive use of the table. The lock is on the parent table: every
    /// use of a partition locks that first.
    pub(super) async fn lock<'c>(
        &self,
        connection: &'c mut PgConnection,
    ) -> Result<Transaction<'c, Postgres>, Error> {
        let mut transaction = connection.begin_with(BEGIN).await?;

        run(
            &mut transaction,
            format!("set local lock_timeout = {}", LOCK_TIMEOUT.as_millis()),
        )
        .await?;
        run(
            &mut transaction,
            format!("lock table only {} in access exclusive mode", self.name),
        )
        .await?;

        Ok(transaction)
    }

    /// Adds the holders of the lock to the error of a change that did not get it. The change's
    /// transaction must be over.
    pub(super) async fn explain(
        &self,
        connection: &mut PgConnection,
        error: Error,
    ) -> PartitionError {
        if !error.is_lock_timeout() {
            return error.into();
        }

        match self.holders(connection).await {
            Ok(holders) => PartitionError::Busy {
                table: self.name,
                holders: told(&holders),
            },
            Err(error) => error.into(),
        }
    }

    /// The sessions with a lock on the table or one of its partitions, the oldest transaction
    /// first.
    async fn holders(&self, connection: &mut PgConnection) -> Result<Vec<Holder>, Error> {
        let holders = sqlx::query_as(
            "select activity.pid,
                    coalesce(nullif(activity.application_name, ''), activity.backend_type, '?') as name,
                    activity.state,
                    extract(epoch from clock_timestamp() - activity.xact_start)::float8 as seconds
             from pg_stat_activity activity
             where activity.pid in (
                 select held.pid from pg_locks held
                 where held.granted and held.locktype = 'relation' and held.pid <> pg_backend_pid()
                   and held.database = (select oid from pg_database where datname = current_database())
                   and (held.relation = $1::regclass
                        or held.relation in (select inhrelid from pg_inherits where inhparent = $1::regclass)))
             order by activity.xact_start nulls last
             limit $2",
        )
        .bind(self.name)
        .bind(MAX_HOLDERS)
        .fetch_all(connection)
        .await?;
        Ok(holders)
    }
}

fn told(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "a session that has released it since".to_owned();
    }

    let each = |Holder {
                    pid,
                    name,
                    state,
                    seconds,
                }: &Holder| {
        let since = seconds.map_or_else(String::new, |seconds| {
            format!(", in a transaction for {seconds:.0} s")
        });
        format!(
            "process {pid} ({name}, {}{since})",
            state.as_deref().unwrap_or("at work")
        )
    };

    holders.iter().map(each).collect::<Vec<_>>().join(" and ")
}
