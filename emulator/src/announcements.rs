//! The emulator's announcements on standard output: a table for people, or JSON lines for programs.

use std::io::IsTerminal as _;

use serde_json::{Value, json};

use crate::cli::OutputFormat;
use crate::output;

/// The destination of announcements. A reader that has gone is no reason to stop, so failures to
/// write are ignored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announcements {
    /// `None` announces nothing.
    format: Option<OutputFormat>,
}

impl Announcements {
    /// Announces in `format`. `None` means text on a terminal and JSON otherwise.
    pub(crate) fn new(format: Option<OutputFormat>) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let usual = if terminal {
            OutputFormat::Text
        } else {
            OutputFormat::Json
        };

        Self {
            format: Some(format.unwrap_or(usual)),
        }
    }

    /// Announces nothing.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self { format: None }
    }

    /// Announces a part that runs, its address, and a detail about it.
    pub(crate) fn started(&self, part: &str, address: &str, detail: &str) {
        self.tell(
            &json!({"event": "started", "part": part, "address": address, "detail": detail}),
            || {
                format!("  {part:<21} {address:<44} {detail}")
                    .trim_end()
                    .to_owned()
            },
        );
    }

    /// Announces something worth knowing that is not an error.
    pub(crate) fn notice(&self, text: &str) {
        self.tell(&json!({"event": "notice", "detail": text}), || {
            format!("  {text}")
        });
    }

    /// Announces something that the user must not miss.
    pub(crate) fn warning(&self, text: &str) {
        self.tell(&json!({"event": "warning", "detail": text}), || {
            let rule = "!".repeat(
                text.lines()
                    .map(str::len)
                    .max()
                    .unwrap_or_default()
                    .min(110),
            );
            format!("\n{rule}\n{text}\n{rule}\n")
        });
    }

    /// Announces that everything works: `fields` for programs, `text` for people.
    pub(crate) fn ready(&self, mut fields: Value, text: &str) {
        fields["event"] = json!("ready");
        self.tell(&fields, || text.to_owned());
    }

    /// Announces that the emulator is stopping.
    pub(crate) fn stopping(&self) {
        self.tell(&json!({"event": "stopping"}), || {
            "\nStopping (Ctrl-C again to hurry)".to_owned()
        });
    }

    /// Announces that everything has ended.
    pub(crate) fn stopped(&self) {
        self.tell(&json!({"event": "stopped"}), || "Stopped.".to_owned());
    }

    fn tell(self, fields: &Value, text: impl FnOnce() -> String) {
        let line = match self.format {
            Some(OutputFormat::Text) => text(),
            Some(OutputFormat::Json) => fields.to_string(),
            None => return,
        };

        output::output().write(format!("{line}\n").into_bytes());
    }
}
