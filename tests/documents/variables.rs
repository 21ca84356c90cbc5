//! `.env.example` and the table of variables against the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use e2e::binaries::workspace;

/// Where variables are read.
const READERS: [&str; 7] = [
    "shared/src/config.rs",
    "shared/src/config",
    "emulator/src/settings.rs",
    "tools/bench/src/cli.rs",
    "tests/support",
    "tests/faults",
    "tests/averager",
];
/// Cargo's and Rust's own, and a word of Kafka's.
const FOREIGN: [&str; 3] = ["CARGO_MANIFEST_DIR", "RUST_BACKTRACE", "CREATE_TIME"];

fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };

    text.contains('_') && text.split('_').all(is_part)
}

/// Adds the names that are quoted in a file, or in those of a folder.
fn collect(path: &Path, names: &mut BTreeSet<String>) {
    if path.is_dir() {
        fs::read_dir(path)
            .unwrap()
            .for_each(|entry| collect(&entry.unwrap().path(), names));
    } else {
        let code = fs::read_to_string(path).unwrap();
        names.extend(
            code.split('"')
                .filter(|text| is_name(text))
                .map(str::to_owned),
        );
    }
}

/// The variables that the code reads and `document` does not mention.
fn missing_in(document: &str) -> Vec<String> {
    let names = read_by(&READERS);
    assert!(
        names.len() > 20 && names.contains("DATABASE_URL"),
        "{names:?}"
    );
    not_in(document, names)
}

/// The names that are quoted in these files and folders.
fn read_by(readers: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    readers
        .iter()
        .for_each(|reader| collect(&workspace().join(reader), &mut names));
    names
}

/// Those of the names that `document` does not mention.
fn not_in(document: &str, mut names: BTreeSet<String>) -> Vec<String> {
    let text = fs::read_to_string(workspace().join(document)).unwrap();
    let explained: BTreeSet<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    names.retain(|name| !FOREIGN.contains(&name.as_str()) && !explained.contains(name.as_str()));
    names.into_iter().collect()
}

#[test]
fn every_variable_that_the_code_reads_is_explained_in_the_example() {
    let missing = missing_in(".env.example");

    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_variable_that_the_code_reads_is_in_the_table_of_the_documents() {
    let missing = missing_in("docs/configuration.md");

    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_variable_of_the_providers_can_be_set_in_aws() {
    let names = read_by(&["shared/src/config/environment/providers.rs"]);
    assert!(names.contains("YAHOO_BASE_URL"), "{names:?}");

    let missing = not_in("template.yaml", names);
    assert!(missing.is_empty(), "{missing:?}");
}

/// The variables that the table of the documents marks as parameters of the template, and those that
/// the template sets from a parameter of the variable's name.
fn parameters() -> (BTreeSet<String>, BTreeSet<String>) {
    let read = |document: &str| fs::read_to_string(workspace().join(document)).unwrap();

    let documented = read("docs/configuration.md")
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("template |"))
        .filter_map(|line| line.split('|').nth(1).map(str::to_owned))
        .flat_map(|names| {
            let names = names.split('`').filter(|name| is_name(name));
            names.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();

    let set = read("template.yaml")
        .lines()
        .filter_map(|line| line.trim().split_once(": !Ref "))
        .filter(|(name, parameter)| {
            is_name(name) && name.replace('_', "").eq_ignore_ascii_case(parameter)
        })
        .map(|(name, _)| name.to_owned())
        .collect();
    (documented, set)
}

#[test]
fn the_table_of_the_documents_says_which_variables_can_be_set_in_aws() {
    let (documented, set) = parameters();
    assert!(set.contains("MAX_POLLING_JOBS"), "{set:?}");

    let unmarked: Vec<_> = set.difference(&documented).collect();
    assert!(unmarked.is_empty(), "{unmarked:?}");
    let missing = not_in("template.yaml", documented);
    assert!(missing.is_empty(), "{missing:?}");
}
