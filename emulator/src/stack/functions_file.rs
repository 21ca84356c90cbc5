//! The variables of functions that run elsewhere, in a file for
//! `cargo lambda watch --env-file`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::function_host::environment;
use crate::private_file;
use crate::template::Template;

/// The file, and whether its content changed.
#[derive(Debug)]
pub(super) struct FunctionsFile {
    pub(super) path: PathBuf,
    pub(super) changed: bool,
}

impl FunctionsFile {
    /// Writes it into the data directory, readable by the user only: it contains the database's
    /// password.
    pub(super) fn write(
        data: &Path,
        template: &Template,
        overrides: &BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let path = data.join("functions.env");
        let text = text(template, overrides);
        let changed = fs::read_to_string(&path).ok().as_deref() != Some(&text);

        if changed {
            let new = data.join("functions.env.new");
            let mut file = private_file::create(&new)?;
            // Renamed when complete, so that no reader sees half of it.
            file.write_all(text.as_bytes())?;
            fs::rename(&new, &path)?;
        }

        Ok(Self { path, changed })
    }

    /// Its path, relative to the current directory if it is below it.
    pub(super) fn shown(&self) -> String {
        let here = std::env::current_dir().and_then(|here| here.canonicalize());

        let below = here
            .ok()
            .and_then(|here| self.path.strip_prefix(here).ok().map(Path::to_owned));
        below.as_deref().unwrap_or(&self.path).display().to_string()
    }
}

/// One file serves all functions. Each reads the variables that it knows.
fn text(template: &Template, overrides: &BTreeMap<String, String>) -> String {
    let mut variables: BTreeMap<&str, &str> = environment::OF_AWS.into_iter().collect();

    let declared = template
        .functions
        .iter()
        .flat_map(|function| &function.environment);
    variables.extend(
        declared
            .chain(overrides)
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );

    let lines = variables
        .into_iter()
        .map(|(name, value)| format!("{name}={}\n", quoted(value)));
    format!(
        "# Written by the emulator at each start; for cargo lambda watch --env-file.\n{}",
        lines.collect::<String>()
    )
}

/// A value as shells and `cargo lambda` read it.
fn quoted(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@%,+-".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        value.to_owned()
    } else if value.contains('\'') {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("'{value}'")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_value_that_shells_would_change_is_quoted() {
        assert_eq!(
            quoted("postgres://market:a%27b@127.0.0.1:5432/market"),
            "postgres://market:a%27b@127.0.0.1:5432/market"
        );
        assert_eq!(quoted("Mozilla/5.0 (x; y)"), "'Mozilla/5.0 (x; y)'");
        assert_eq!(quoted(r#"it's "so""#), r#""it's \"so\"""#);
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_file_is_for_its_owner_alone_and_tells_whether_it_changed() {
        let data = tempfile::tempdir().unwrap();
        let template = Template::default();

        let write = |url: &str| {
            let overrides = BTreeMap::from([("DATABASE_URL".to_owned(), url.to_owned())]);
            FunctionsFile::write(data.path(), &template, &overrides).unwrap()
        };

        let first = write("postgres://a");
        assert!(first.changed);
        assert_eq!(
            fs::metadata(&first.path).unwrap().permissions().mode() & 0o777,
            0o600
        );

        assert!(!write("postgres://a").changed);
        assert!(write("postgres://b").changed);

        let text = fs::read_to_string(&first.path).unwrap();
        assert!(text.contains("DATABASE_URL=postgres://b\n"), "{text}");
        assert!(text.contains("AWS_ACCESS_KEY_ID=local\n"), "{text}");
    }
}
