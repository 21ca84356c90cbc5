//! Deletion of many rows by short statements, none of which holds its locks for long.

use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgPool};
use sqlx::query::Query;

use super::Error;

/// Statements of one call; the remaining rows are left to the next call.
const MAX_STATEMENTS: u32 = 200;

/// Repeats a statement that deletes at most `limit` rows until it deletes fewer, and returns the
/// number of deleted rows.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. Rows that were deleted before stay deleted.
pub(super) async fn delete_in_batches(
    pool: &PgPool,
    limit: i64,
    delete: impl Fn() -> Query<'static, Postgres, PgArguments>,
) -> Result<u64, Error> {
    let mut deleted = 0;
    for _ in 0..MAX_STATEMENTS {
        let batch = delete().execute(pool).await?.rows_affected();

        deleted += batch;
        if batch < limit.unsigned_abs() {
            break;
        }
    }

    Ok(deleted)
}
