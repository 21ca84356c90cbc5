//! The keys of the HTTP API. `0030_api_keys.sql` explains the columns.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row};

use super::Error;
use crate::access::{FirstKey, Key, KeyId, KeyName, RateLimits, Scope, SecretDigest};
use crate::market::Timestamp;

pub mod budget;

/// How seldom the time of a key's last use is written.
pub const USE_NOTED_EVERY: Duration = Duration::from_secs(60);
/// The name of the first key of a deployment.
const FIRST_KEY: &str = "first-admin";

/// A key, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part.
    pub id: KeyId,
    /// The SHA-256 of the secret part.
    pub digest: SecretDigest,
    /// What its maker called it.
    pub name: KeyName,
    /// What it allows.
    pub scope: Scope,
    /// How often.
    pub limits: RateLimits,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is not valid any more.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was used, as of about a minute ago.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it is neither revoked nor expired.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// A key that is to be stored.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    /// The key, of which only the digest is stored.
    pub key: &'a Key,
    /// What it is called.
    pub name: &'a KeyName,
    /// What it allows.
    pub scope: Scope,
    /// How often.
    pub limits: RateLimits,
    /// From when on it is not valid any more.
    pub expires_at: Option<Timestamp>,
}

/// Stores a key.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn add(executor: impl PgExecutor<'_>, new: &NewApiKey<'_>) -> Result<(), Error> {
    sqlx::query(
        "insert into api_keys (id, secret_sha256, name, scope, limits, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.key.id().as_str())
    .bind(new.key.digest().as_bytes())
    .bind(new.name.as_str())
    .bind(new.scope.as_str())
    .bind(new.limits.of_windows().map(|limit| limit.map(i64::from)))
    .bind(new.expires_at)
    .execute(executor)
    .await?;
    Ok(())
}

/// Stores the first key of a deployment, with every right, unless there is one of its id, revoked
/// or not.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn add_first(executor: impl PgExecutor<'_>, first: &FirstKey) -> Result<(), Error> {
    sqlx::query(
        "insert into api_keys (id, secret_sha256, name, scope) values ($1, $2, $3, 'admin')
         on conflict (id) do nothing",
    )
    .bind(first.id.as_str())
    .bind(first.digest.as_bytes())
    .bind(FIRST_KEY)
    .execute(executor)
    .await?;
    Ok(())
}

/// The key of this id, valid or not.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn find(executor: impl PgExecutor<'_>, id: KeyId) -> Result<Option<ApiKey>, Error> {
    let row = sqlx::query("select * from api_keys where id = $1")
        .bind(id.as_str())
        .fetch_optional(executor)
        .await?;

    row.as_ref().map(api_key).transpose()
}

/// Whether a key was ever made.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn any(executor: impl PgExecutor<'_>) -> Result<bool, Error> {
    Ok(sqlx::query_scalar("select exists (select from api_keys)")
        .fetch_one(executor)
        .await?)
}

/// All keys, the oldest first.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<ApiKey>, Error> {
    let rows = sqlx::query("select * from api_keys order by created_at, id")
        .fetch_all(executor)
        .await?;

    rows.iter().map(api_key).collect()
}

/// Revokes a key. Returns it; `None` if there is none of this id. One that was revoked before keeps
/// that time.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn revoke(executor: impl PgExecutor<'_>, id: KeyId) -> Result<Option<ApiKey>, Error> {
    let row = sqlx::query(
        "update api_keys set revoked_at = coalesce(revoked_at, now()) where id = $1 returning *",
    )
    .bind(id.as_str())
    .fetch_optional(executor)
    .await?;

    row.as_ref().map(api_key).transpose()
}

/// Notes that a key is used now, unless a use within [`USE_NOTED_EVERY`] is noted.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn note_use(executor: impl PgExecutor<'_>, id: KeyId) -> Result<(), Error> {
    sqlx::query(
        "update api_keys set last_used_at = now()
         where id = $1
           and (last_used_at is null or last_used_at <= now() - make_interval(secs => $2))",
    )
    .bind(id.as_str())
    .bind(USE_NOTED_EVERY.as_secs_f64())
    .execute(executor)
    .await?;
    Ok(())
}

fn api_key(row: &PgRow) -> Result<ApiKey, Error> {
    fn readable<T>(value: Option<T>) -> Result<T, sqlx::Error> {
        value.ok_or_else(|| sqlx::Error::Decode("an API key that cannot be read".into()))
    }

    let limits: Vec<Option<i64>> = row.try_get("limits")?;
    Ok(ApiKey {
        id: readable(row.try_get::<&str, _>("id")?.parse().ok())?,
        digest: readable(SecretDigest::from_stored(row.try_get("secret_sha256")?))?,
        name: readable(row.try_get::<&str, _>("name")?.parse().ok())?,
        scope: readable(row.try_get::<&str, _>("scope")?.parse().ok())?,
        limits: readable(RateLimits::from_stored(&limits))?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
        last_used_at: row.try_get("last_used_at")?,
    })
}
