//! Loads and lists how providers spell our symbols.
//!
//! It is a program of its own, because it works on any database, a deployed one included, and the
//! emulator knows neither the tables nor the crate `shared`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use shared::market::{ProviderName, Symbol};
use shared::provider;
use shared::repository::instruments::{self, Instrument};
use sqlx::PgPool;

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Most spellings in a file; each function holds those of the providers that it asks.
const MAX_INSTRUMENTS: usize = 50_000;

/// Our symbols, each with the spelling of each provider that has another one.
type File = BTreeMap<String, BTreeMap<String, String>>;

/// Loads `file` in one transaction, and returns what was done in words.
///
/// # Errors
/// If the file cannot be read, names an unknown provider or an invalid symbol, or if Postgres
/// fails. Nothing is changed then.
pub async fn load(pool: &PgPool, file: &Path, replace: bool) -> anyhow::Result<String> {
    let name = file.display();
    let size = std::fs::metadata(file)
        .with_context(|| format!("cannot read {name}"))?
        .len();
    ensure!(size <= MAX_FILE_BYTES, "{name} has more than 8 MB");
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let instruments = parse(&text).with_context(|| format!("{name} cannot be used"))?;

    let failed = "Postgres failed; nothing was changed";
    let mut transaction = pool.begin().await.context(failed)?;
    let changed = instruments::put(&mut *transaction, &instruments)
        .await
        .context(failed)?;
    let removed = if replace {
        instruments::remove_others(&mut transaction, &instruments)
            .await
            .context(failed)?
    } else {
        0
    };
    transaction
        .commit()
        .await
        .context("Postgres failed; run it again")?;

    let total = instruments.len();
    Ok(format!(
        "{total} spellings: {changed} added or changed, {removed} others removed."
    ))
}

/// All spellings, in the form of a file.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool) -> anyhow::Result<String> {
    let mut file = File::new();
    for instrument in instruments::all(pool).await.context("Postgres failed")? {
        let spellings = file.entry(instrument.symbol.into()).or_default();
        spellings.insert(instrument.provider.into(), instrument.spelling.into());
    }

    Ok(serde_json::to_string_pretty(&file)?)
}

/// The spellings in the text of a file.
///
/// # Errors
/// That of the first symbol, provider or spelling which is not one.
pub fn parse(text: &str) -> anyhow::Result<Vec<Instrument>> {
    let file: File = serde_json::from_str(text)?;
    let mut instruments = Vec::new();

    for (symbol, spellings) in file {
        let ours: Symbol = symbol
            .parse()
            .with_context(|| format!("the symbol {symbol:?}"))?;
        for (provider, spelling) in spellings {
            let at = || format!("the spelling of {symbol} at {provider:?}");
            instruments.push(Instrument {
                symbol: ours.to_upper_case(),
                provider: known(&provider).with_context(at)?,
                spelling: spelling.parse().with_context(at)?,
            });
        }
    }
    ensure!(
        instruments.len() <= MAX_INSTRUMENTS,
        "it has more than {MAX_INSTRUMENTS} spellings"
    );

    let key = |instrument: &Instrument| (instrument.symbol.clone(), instrument.provider.clone());
    instruments.sort();
    if let Some(pair) = instruments
        .windows(2)
        .find(|pair| key(&pair[0]) == key(&pair[1]))
    {
        bail!(
            "it names {} at {} twice, in another case",
            pair[0].symbol,
            pair[0].provider
        );
    }
    Ok(instruments)
}

/// The provider of this name, which must be one of ours.
fn known(name: &str) -> anyhow::Result<ProviderName> {
    let provider: ProviderName = name.parse()?;
    ensure!(
        provider::NAMES.contains(&provider.as_str()),
        "the provider is not one of {}",
        provider::NAMES.join(", ")
    );
    Ok(provider)
}

/// Prints a result. A reader that is gone is no failure.
pub fn print(text: &str) {
    let _gone = writeln!(std::io::stdout(), "{text}");
}

/// Prints an error.
pub fn complain(error: &anyhow::Error) {
    let _gone = writeln!(std::io::stderr(), "error: {error:#}");
}

#[cfg(test)]
mod tests;
