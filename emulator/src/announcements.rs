//! What the emulator tells on standard output: a table for people, or JSON lines for programs.

use std::io::IsTerminal as _;

use serde_json::{Value, json};

use crate::cli::OutputFormat;
use crate::output;

/// Where announcements go. A reader that went away is no reason to stop, so failures to write are ignored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announcements {
    /// Nothing is told without one.
    format: Option<OutputFormat>,
}

impl Announcements {
    /// In the `format` asked for; if none was, for people on a terminal and for programs elsewhere.
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

    /// Tells nobody.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self { format: None }
    }

    /// A part that runs, where, and what is to know about it.
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

    /// Something worth knowing that is not an error.
    pub(crate) fn notice(&self, text: &str) {
        self.tell(&json!({"event": "notice", "detail": text}), || {
            format!("  {text}")
        });
    }

    /// Something that the user must not miss.
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

    /// Everything works: `fields` for programs, `text` for people.
    pub(crate) fn ready(&self, mut fields: Value, text: &str) {
        fields["event"] = json!("ready");
        self.tell(&fields, || text.to_owned());
    }

    /// The emulator is on its way out.
    pub(crate) fn stopping(&self) {
        self.tell(&json!({"event": "stopping"}), || {
            "\nStopping (Ctrl-C again to hurry)".to_owned()
        });
    }

    /// Nothing runs any more.
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
