//! `.env.example` against the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use e2e::binaries::workspace;

/// Where variables are read.
const READERS: [&str; 7] = [
    "shared/src/config.rs",
    "shared/src/config",
    "emulator/src/settings.rs",
    "bench/src/cli.rs",
    "tests/src",
    "tests/faults",
    "tests/averager",
];
/// Cargo's and Rust's own, and a word of Kafka's.
const FOREIGN: [&str; 3] = ["CARGO_MANIFEST_DIR", "RUST_BACKTRACE", "CREATE_TIME"];

fn is_name(text: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    text.contains('_') && text.split('_').all(part)
}

/// Adds the names that stand in quotes in a file, or in those of a folder.
fn collect(path: &Path, names: &mut BTreeSet<String>) {
    if path.is_dir() {
        fs::read_dir(path)
            .expect("a folder")
            .for_each(|entry| collect(&entry.expect("its entry").path(), names));
    } else {
        let code = fs::read_to_string(path).expect("code");
        names.extend(code.split('"').filter(|text| is_name(text)).map(str::to_owned));
    }
}

#[test]
fn every_variable_that_the_code_reads_is_explained_in_the_example() {
    let mut names = BTreeSet::new();
    READERS.iter().for_each(|reader| collect(&workspace().join(reader), &mut names));
    assert!(names.len() > 20 && names.contains("DATABASE_URL"), "{names:?}");
    let example = fs::read_to_string(workspace().join(".env.example")).unwrap();
    let explained: BTreeSet<&str> = example.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let missing: Vec<_> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !FOREIGN.contains(name) && !explained.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
