//! The documents against the project: links lead somewhere, every variable is explained, and the
//! README stays short.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue should fail at that line"
)]

mod domain;
mod links;
mod variables;

use std::path::{Path, PathBuf};

use e2e::binaries::workspace;

/// Folders without documents of ours.
const FOREIGN: [&str; 4] = ["target", ".git", ".data", "swagger-ui"];

/// Every Markdown file of the project.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(workspace(), &mut found);

    assert!(found.len() > 10, "{found:?}");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();

        if path.is_dir() && !path.is_symlink() && !FOREIGN.contains(&name.as_str()) {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn the_readme_has_at_most_180_lines() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();

    assert!(readme.lines().count() <= 180, "{}", readme.lines().count());
}

#[test]
fn every_document_in_docs_opens_with_what_its_reader_can_do_afterwards() {
    for path in documents()
        .iter()
        .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("docs")))
    {
        let text = std::fs::read_to_string(path).unwrap();
        let opening = text
            .lines()
            .skip(1)
            .find(|line| !line.is_empty())
            .unwrap_or_default();

        assert!(
            opening.starts_with("After reading this page you can"),
            "{}: {opening}",
            path.display()
        );
    }
}
