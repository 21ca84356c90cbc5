//! The domain is pure: its files neither wait, nor read a clock, nor know anything but each other.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::binaries::workspace;

/// The modules of the domain, in `shared/src`.
const DOMAIN: [&str; 7] = [
    "market",
    "candle",
    "price",
    "exact_decimal",
    "moving_average",
    "price_event",
    "tick",
];
/// The crates that the domain may use besides the standard library.
const CRATES: [&str; 11] = [
    "arrayvec",
    "chrono",
    "chrono_tz",
    "num_bigint",
    "rust_decimal",
    "serde",
    "serde_json",
    "thiserror",
    "uuid",
    "std",
    "core",
];
/// What waits, does I/O or reads a clock.
const IMPURE: [&str; 14] = [
    "async ",
    ".await",
    "tokio",
    "futures",
    "sqlx",
    "reqwest",
    "rdkafka",
    "::now()",
    "SystemTime",
    "Instant",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
];

/// The files of a module, without those of its tests.
fn files(module: &str) -> Vec<PathBuf> {
    let source = workspace().join("shared/src");
    let mut files = vec![source.join(format!("{module}.rs"))];

    if let Ok(submodules) = fs::read_dir(source.join(module)) {
        let paths = submodules.map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.is_file() && !path.ends_with("tests.rs")));
    }
    files
}

/// The lines of a file before its unit tests, without comments.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();

    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.map(str::to_owned).collect()
}

/// Why a line does not belong into the domain.
fn fault(line: &str) -> Option<String> {
    if let Some(impure) = IMPURE.iter().find(|impure| line.contains(**impure)) {
        return Some(format!("contains {impure}"));
    }

    for path in line.split("crate::").skip(1) {
        let module = path
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()?;
        if !DOMAIN.contains(&module) {
            return Some(format!("uses the module {module}"));
        }
    }

    let import = line
        .strip_prefix("use ")
        .or_else(|| line.strip_prefix("pub use "))?;
    let root = import.split("::").next()?;
    let own = ["crate", "super", "self"].contains(&root);
    // A re-export names a submodule, whose file is checked itself.
    let known = own || line.starts_with("pub use ") || CRATES.contains(&root);
    (!known).then(|| format!("uses the crate {root}"))
}

#[test]
fn the_domain_neither_waits_nor_reads_a_clock_nor_uses_another_part() {
    let mut faults = Vec::new();
    for path in DOMAIN.iter().flat_map(|module| files(module)) {
        for line in code(&path) {
            if let Some(fault) = fault(&line) {
                faults.push(format!("{}: `{}` {fault}", path.display(), line.trim()));
            }
        }
    }

    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_does_not_belong_into_the_domain_is_noticed() {
    for line in [
        "use tokio::time::sleep;",
        "use sqlx::Postgres;",
        "use std::time::Instant;",
        "    pub async fn fetch() {",
        "    let now = Utc::now();",
        "use crate::repository::Error;",
        "use crate::price_log::PriceLog;",
        "use tracing::warn;",
    ] {
        assert!(fault(line).is_some(), "{line}");
    }

    for line in [
        "use std::fmt;",
        "use crate::price::Price;",
        "use super::Symbol;",
    ] {
        assert_eq!(fault(line), None, "{line}");
    }
}
