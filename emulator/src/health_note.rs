//! The state of the event source mappings, which the emulator notes in its data directory for
//! `emulator health`.
//!
//! A file rather than a port: it can be read when nothing answers, and its age shows if the
//! emulator itself has stopped working.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::event_source_mapping::{Report, Status};

const FILE: &str = "event-source-mappings.json";
const BETWEEN_NOTES: Duration = Duration::from_secs(2);
/// A note that is older shows that the emulator has stopped working.
const FRESH: TimeDelta = TimeDelta::seconds(20);

/// The content of the note.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct HealthNote {
    written_at: DateTime<Utc>,
    pub(crate) event_source_mappings: Vec<Report>,
}

impl HealthNote {
    /// Reads the note in a data directory.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(directory.join(FILE))?)?)
    }

    /// Why events are not being averaged, in words; empty while they are.
    pub(crate) fn troubles(&self, now: DateTime<Utc>) -> Vec<String> {
        let age = now - self.written_at;
        if age > FRESH {
            let seconds = age.num_seconds();
            return vec![format!(
                "the emulator has stood still for {seconds} s: it notes nothing any more"
            )];
        }

        self.event_source_mappings
            .iter()
            .flat_map(|mapping| mapping.troubles(now))
            .collect()
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        // Renamed when complete, so that no reader sees half of it.
        let part = directory.join(format!("{FILE}.part"));
        fs::write(&part, serde_json::to_vec(self)?)?;
        fs::rename(part, directory.join(FILE))
    }
}

/// Keeps the note up to date until `stop`.
#[derive(Debug)]
pub(crate) struct NoteKeeper {
    directory: PathBuf,
    mappings: Vec<Arc<Status>>,
    /// Whether the last note could be written. Only the first of several failures is logged.
    written: bool,
}

impl NoteKeeper {
    /// Writes the first note before it returns.
    pub(crate) async fn start(directory: &Path, mappings: Vec<Arc<Status>>) -> Self {
        let mut keeper = Self {
            directory: directory.to_owned(),
            mappings,
            written: true,
        };

        keeper.note().await;
        keeper
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(BETWEEN_NOTES))
            .await
            .is_some()
        {
            self.note().await;
        }
    }

    async fn note(&mut self) {
        let event_source_mappings = self.mappings.iter().map(|status| status.report()).collect();
        let note = HealthNote {
            written_at: Utc::now(),
            event_source_mappings,
        };

        let directory = self.directory.clone();

        let written = match tokio::task::spawn_blocking(move || note.write(&directory)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                if self.written {
                    let reason = error.to_string();
                    tracing::warn!(
                        reason,
                        "the state of the event source mappings cannot be noted"
                    );
                }
                false
            }
            Err(_) => false,
        };

        self.written = written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_note_is_kept_and_one_that_is_not_kept_any_more_is_trouble() {
        let data = tempfile::tempdir().unwrap();
        let _keeper = NoteKeeper::start(data.path(), Vec::new()).await;

        let note = HealthNote::read(data.path()).unwrap();
        assert_eq!(note.troubles(Utc::now()), [] as [&str; 0]);

        let troubles = note.troubles(Utc::now() + FRESH + TimeDelta::seconds(1));
        assert!(troubles[0].contains("stood still"), "{troubles:?}");
    }
}
