//! Makes, lists and revokes the keys of the HTTP API.
//!
//! It is a program of its own, because it works on any database, a deployed one included, and the
//! emulator knows neither the tables nor the crate `shared`. `emulator keys` runs it on the database
//! of the emulator.

use anyhow::{Context as _, bail, ensure};
use chrono::Utc;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use shared::access::{FirstKey, Key, KeyName, RateLimits, Scope};
use shared::market::Timestamp;
use shared::repository::api_keys::{self, ApiKey, NewApiKey};
use sqlx::PgPool;

pub mod expiry;
pub mod report;

use report::Form;

/// What a key is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is called.
    pub name: KeyName,
    /// What it allows.
    pub scope: Scope,
    /// How often.
    pub limits: RateLimits,
    /// From when on it is not valid any more.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key, and returns the text that shows it.
///
/// # Errors
/// If its end has passed, or Postgres fails. No key is made then, or one that nobody knows.
pub async fn create(pool: &PgPool, wanted: &Wanted, form: Form) -> anyhow::Result<String> {
    ensure!(
        wanted.expires_at.is_none_or(|end| end > Utc::now()),
        "--expires has passed"
    );

    let key = generate()?;
    let new = NewApiKey {
        key: &key,
        name: &wanted.name,
        scope: wanted.scope,
        limits: wanted.limits,
        expires_at: wanted.expires_at,
    };
    api_keys::add(pool, &new)
        .await
        .context("the key was not stored; run it again")?;

    Ok(report::created(&key, wanted, form))
}

/// Makes the first key of a deployment, and returns the text that shows it, and what the deployment
/// is told of it. Nothing is stored.
///
/// # Errors
/// If the scope is not `admin`: the deployment gives that key every right.
pub fn first_key(name: &KeyName, scope: Scope, form: Form) -> anyhow::Result<String> {
    ensure!(
        scope == Scope::Admin,
        "--hash-only is for the first key of a deployment, whose scope is admin"
    );

    let key = generate()?;
    let first = FirstKey {
        id: key.id(),
        digest: key.digest(),
    };
    Ok(report::first_key(&key, name, &first, form))
}

/// All keys.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool, form: Form) -> anyhow::Result<String> {
    let keys = api_keys::all(pool).await.context("Postgres failed")?;
    Ok(report::list(&keys, Utc::now(), form))
}

/// Revokes the key of this id, or the only valid one of this name.
///
/// # Errors
/// If there is no such key, several valid ones have the name, or Postgres fails. None is revoked
/// then.
pub async fn revoke(pool: &PgPool, called: &str, form: Form) -> anyhow::Result<String> {
    let keys = api_keys::all(pool).await.context("Postgres failed")?;
    let id = find(&keys, called)?.id;

    let revoked = api_keys::revoke(pool, id)
        .await
        .context("Postgres failed; run it again")?
        .with_context(|| format!("there is no key {id} any more"))?;
    Ok(report::revoked(&revoked, form))
}

/// An id comes before a name that looks like one.
fn find<'a>(keys: &'a [ApiKey], called: &str) -> anyhow::Result<&'a ApiKey> {
    if let Some(key) = keys.iter().find(|key| key.id.as_str() == called) {
        return Ok(key);
    }

    let now = Utc::now();
    let named: Vec<&ApiKey> = keys
        .iter()
        .filter(|key| key.name.as_str() == called && key.is_valid_at(now))
        .collect();
    match named.as_slice() {
        [only] => Ok(only),
        [] => bail!(
            "there is no key with this id, and no valid key with this name; `keys list` shows all"
        ),
        several => {
            let ids: Vec<&str> = several.iter().map(|key| key.id.as_str()).collect();
            bail!(
                "several valid keys have this name; give the id of one: {}",
                ids.join(", ")
            )
        }
    }
}

/// A key from the operating system's random numbers.
fn generate() -> anyhow::Result<Key> {
    let mut random = [0; 256];
    OsRng
        .try_fill_bytes(&mut random)
        .context("the operating system gives no random numbers")?;

    Key::from_random(random).context("the operating system's random numbers are not random")
}
