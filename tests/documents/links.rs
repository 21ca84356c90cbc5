//! Relative links in Markdown files. Links to other sites are not followed.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use crate::documents;

/// The targets of the links in `text`, without those in code blocks and code spans.
fn targets(text: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            prose.push_str(line);
            prose.push('\n');
        }
    }

    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchors of a document's headings, as GitHub makes them: lower case, hyphens for spaces,
/// without punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut in_block = false;
    let mut anchors = BTreeSet::new();

    for line in text.lines() {
        in_block ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        if in_block || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }

        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();

        // A heading that comes again gets a number.
        let count = seen.entry(anchor.clone()).or_default();
        anchors.insert(if *count == 0 {
            anchor.clone()
        } else {
            format!("{anchor}-{count}")
        });
        *count += 1;
    }
    anchors
}

/// What is wrong with a link of the document at `path`, if anything.
fn fault(path: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }

    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let linked = if file.is_empty() {
        path.to_owned()
    } else {
        path.parent()?.join(file)
    };
    if !linked.exists() {
        return Some(format!("{}: {target} does not exist", path.display()));
    }

    if !anchor.is_empty()
        && linked
            .extension()
            .is_some_and(|extension| extension == "md")
    {
        let known = anchors(&std::fs::read_to_string(&linked).unwrap());
        if !known.contains(anchor) {
            return Some(format!("{}: {target} has no such heading", path.display()));
        }
    }
    None
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading_that_exist() {
    let mut checked = 0;
    let mut faults = Vec::new();

    for path in documents() {
        // A page of the API: its links are the API's paths.
        if path.ends_with("functions/api/src/contract.md") {
            continue;
        }

        for target in targets(&std::fs::read_to_string(&path).unwrap()) {
            checked += 1;
            faults.extend(fault(&path, &target));
        }
    }

    assert!(checked > 50, "only {checked} links were found");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_heading_has_the_anchor_that_github_gives_it() {
    let text = "# What was tested\n\n## Kafka\n```\n# not a heading\n```\n## Kafka\n### Walk 1: a price is read\n";

    let expected = [
        "kafka",
        "kafka-1",
        "walk-1-a-price-is-read",
        "what-was-tested",
    ];
    assert!(
        anchors(text).iter().eq(expected.iter()),
        "{:?}",
        anchors(text)
    );
}
