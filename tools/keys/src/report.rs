//! What the command prints: text for people, or a line of JSON for programs.

use std::io::Write as _;

use serde_json::{Value, json};
use shared::access::{FirstKey, Key, KeyName};
use shared::market::Timestamp;
use shared::repository::api_keys::ApiKey;

use crate::Wanted;

/// Who reads the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A person, on a terminal.
    Text,
    /// A program.
    Json,
}

pub(crate) fn created(key: &Key, wanted: &Wanted, form: Form) -> String {
    let limits = Some(wanted.limits.to_string()).filter(|limits| !limits.is_empty());
    if form == Form::Json {
        return json!({
            "key": key.expose(),
            "id": key.id().as_str(),
            "name": wanted.name.as_str(),
            "scope": wanted.scope.as_str(),
            "rate": limits,
            "expires_at": wanted.expires_at,
        })
        .to_string();
    }

    let (id, name, scope) = (key.id(), &wanted.name, wanted.scope);
    let end = wanted
        .expires_at
        .map_or_else(String::new, |end| format!(", valid until {}", time(end)));
    let rate = limits.map_or_else(String::new, |limits| format!(", {limits}"));
    format!(
        "{}\n\nThis is key {id}, called {name}, of scope {scope}{rate}{end}.\nIt is not shown again. Send it as \
         `Authorization: Bearer <key>` or `X-API-Key: <key>`.\nFrom now on every request needs a key.",
        key.expose()
    )
}

pub(crate) fn first_key(key: &Key, name: &KeyName, first: &FirstKey, form: Form) -> String {
    if form == Form::Json {
        return json!({
            "key": key.expose(),
            "id": key.id().as_str(),
            "name": name.as_str(),
            "scope": "admin",
            "first_admin_key": first.to_string(),
        })
        .to_string();
    }

    format!(
        "{}\n\nIt is not shown again, and not stored. It is valid once the stack is deployed with\n  \
         FirstAdminKey={first}",
        key.expose()
    )
}

pub(crate) fn revoked(key: &ApiKey, form: Form) -> String {
    if form == Form::Json {
        return fields(key).to_string();
    }

    format!(
        "Key {}, called {}, is revoked. Instances of the api that have used it notice it within 10 s.",
        key.id, key.name
    )
}

pub(crate) fn list(keys: &[ApiKey], now: Timestamp, form: Form) -> String {
    if form == Form::Json {
        return json!({ "items": keys.iter().map(fields).collect::<Vec<_>>() }).to_string();
    }
    if keys.is_empty() {
        return "There are no keys: only requests through loopback are answered.".to_owned();
    }

    let head = ["ID", "NAME", "SCOPE", "RATE", "STATE", "LAST USED"].map(str::to_owned);
    let rows = keys.iter().map(|key| {
        [
            key.id.to_string(),
            key.name.to_string(),
            key.scope.to_string(),
            key.limits.to_string(),
            state(key, now),
            key.last_used_at.map_or_else(|| "never".to_owned(), time),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();

    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn state(key: &ApiKey, now: Timestamp) -> String {
    match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", time(at)),
        (None, Some(end)) if end <= now => format!("expired {}", time(end)),
        (None, Some(end)) => format!("until {}", time(end)),
        (None, None) => "valid".to_owned(),
    }
}

fn time(time: Timestamp) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn fields(key: &ApiKey) -> Value {
    let limits = Some(key.limits.to_string()).filter(|limits| !limits.is_empty());
    json!({
        "id": key.id.as_str(),
        "name": key.name.as_str(),
        "scope": key.scope.as_str(),
        "rate": limits,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    })
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
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_at_a_glance_which_keys_are_valid() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let digest = Key::from_random(0..=255).unwrap().digest();
        let key =
            |id: &str, name: &str, expires_at: Option<&str>, revoked_at: Option<&str>| ApiKey {
                id: id.parse().unwrap(),
                digest,
                name: name.parse().unwrap(),
                scope: "read".parse().unwrap(),
                limits: "5/s".parse().unwrap(),
                created_at: now,
                expires_at: expires_at.map(|time| time.parse().unwrap()),
                revoked_at: revoked_at.map(|time| time.parse().unwrap()),
                last_used_at: None,
            };
        let keys = [
            key("8rWPzxxG", "dashboard", None, None),
            key("9rWPzxxG", "ci", Some("2026-04-01T00:00:00Z"), None),
            key("ArWPzxxG", "old", Some("2026-02-01T00:00:00Z"), None),
            key("BrWPzxxG", "gone", None, Some("2026-02-03T04:05:06Z")),
        ];

        let text = list(&keys, now, Form::Text);
        let expected = "\
ID        NAME       SCOPE  RATE  STATE                         LAST USED
8rWPzxxG  dashboard  read   5/s   valid                         never
9rWPzxxG  ci         read   5/s   until 2026-04-01 00:00 UTC    never
ArWPzxxG  old        read   5/s   expired 2026-02-01 00:00 UTC  never
BrWPzxxG  gone       read   5/s   revoked 2026-02-03 04:05 UTC  never";
        assert_eq!(text, expected);

        let lines: Value = serde_json::from_str(&list(&keys, now, Form::Json)).unwrap();
        assert_eq!(lines["items"][3]["revoked_at"], "2026-02-03T04:05:06Z");
        assert!(list(&[], now, Form::Text).contains("no keys"));
    }
}
