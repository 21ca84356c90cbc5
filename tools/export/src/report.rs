//! What is shown of a run: a progress bar for people, JSON lines for programs.

use std::io::Write;
use std::path::Path;

use exports::SeriesName;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::Outcome;

/// Steps of the bar for each series.
const STEPS: u64 = 1_000;

/// Receives what happens in a run.
pub trait Report {
    /// That many series are to be exported.
    fn begin(&mut self, series: usize);
    /// So many points of a series are written, which is this share of it.
    fn progress(&mut self, series: SeriesName<'_>, points: u64, share: f64);
    /// A file is complete.
    fn written(&mut self, file: &Path, points: u64);
    /// A file exists and is left as it is.
    fn passed_over(&mut self, file: &Path);
    /// All files are complete.
    fn done(&mut self, outcome: &Outcome);
    /// The run ended before its end.
    fn failed(&mut self, error: &anyhow::Error);
}

/// A progress bar on the terminal.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// Series that are done.
    done: u64,
}

impl Bar {
    /// A bar of unknown length.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bar: ProgressBar::no_length(),
            done: 0,
        }
    }

    fn next(&mut self) {
        self.done += 1;
        self.bar.set_position(self.done * STEPS);
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Report for Bar {
    fn begin(&mut self, series: usize) {
        self.bar.set_length(series as u64 * STEPS);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {eta:>5}  {msg}")
        {
            self.bar.set_style(style);
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share is from 0 to 1"
    )]
    fn progress(&mut self, series: SeriesName<'_>, points: u64, share: f64) {
        let SeriesName { symbol, provider } = series;
        self.bar
            .set_position(self.done * STEPS + (share * STEPS as f64) as u64);
        self.bar
            .set_message(format!("{symbol} of {provider}: {points} points"));
    }

    fn written(&mut self, _file: &Path, _points: u64) {
        self.next();
    }

    fn passed_over(&mut self, _file: &Path) {
        self.next();
    }

    fn done(&mut self, outcome: &Outcome) {
        let Outcome {
            written,
            passed_over,
            points,
        } = outcome;
        self.bar.finish_and_clear();
        let existed = match passed_over {
            0 => String::new(),
            number => format!("; {number} existed (--overwrite writes them anew)"),
        };
        let files = if *written == 1 { "file" } else { "files" };
        let text = format!("{written} {files} with {points} points{existed}.");
        let _gone = writeln!(std::io::stdout(), "{text}");
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.bar.finish_and_clear();
        let _gone = writeln!(std::io::stderr(), "export: {error:#}");
    }
}

/// One JSON object in each line.
#[derive(Debug)]
pub struct JsonLines<W>(pub W);

impl<W: Write> JsonLines<W> {
    fn line(&mut self, line: &Value) {
        // The run continues even if nothing reads its output any more.
        let _gone = writeln!(self.0, "{line}").and_then(|()| self.0.flush());
    }
}

impl<W: Write> Report for JsonLines<W> {
    fn begin(&mut self, series: usize) {
        self.line(&json!({"event": "begin", "series": series}));
    }

    fn progress(&mut self, series: SeriesName<'_>, points: u64, share: f64) {
        self.line(&json!({
            "event": "progress",
            "symbol": series.symbol.as_str(),
            "provider": series.provider.as_str(),
            "points": points,
            "percent": (share * 100.0).round(),
        }));
    }

    fn written(&mut self, file: &Path, points: u64) {
        self.line(&json!({"event": "written", "file": file, "points": points}));
    }

    fn passed_over(&mut self, file: &Path) {
        self.line(&json!({"event": "passed_over", "file": file}));
    }

    fn done(&mut self, outcome: &Outcome) {
        self.line(&json!({"event": "done", "outcome": outcome}));
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.line(&json!({"event": "failed", "error": format!("{error:#}")}));
        let _gone = writeln!(std::io::stderr(), "export: {error:#}");
    }
}
