//! The output of a run: text for people, or JSON lines for programs.

use std::io::Write;

use serde_json::json;

use crate::Outcome;
use crate::letter::{Letter, Unsendable};

/// The result for a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The letter was sent back.
    Sent,
    /// The letter would be sent back if this were not a dry run.
    WouldSend,
    /// The letter has another reason than the requested one.
    PassedOver,
    /// The letter cannot be sent back.
    Left(Unsendable),
}

/// A letter and its result.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The letter's partition in the dead-letter topic.
    pub partition: i32,
    /// The letter's offset in the partition.
    pub offset: i64,
    /// The decoded letter; `None` if it cannot be decoded.
    pub letter: Option<&'a Letter>,
    /// The letter's result.
    pub action: Action,
}

/// Receives the results of a run.
pub trait Report {
    /// Reports the result for one letter.
    fn letter(&mut self, line: &Line<'_>);
    /// Reports the counts so far.
    fn progress(&mut self, outcome: &Outcome);
}

/// Text for people: the letters that are not simply sent, and the progress.
#[derive(Debug)]
pub struct Text<W>(pub W);

/// Output for programs: one JSON object for each letter.
#[derive(Debug)]
pub struct JsonLines<W>(pub W);

impl<W: Write> Report for Text<W> {
    fn letter(&mut self, line: &Line<'_>) {
        let what = match line.action {
            Action::Sent | Action::PassedOver => return,
            Action::WouldSend => "would send".to_owned(),
            Action::Left(reason) => format!("left: {reason}"),
        };

        let place = format!("{}/{}", line.partition, line.offset);
        let about = line.letter.map_or_else(String::new, |letter| {
            let Letter {
                condition,
                topic,
                partition,
                offset,
                ..
            } = letter;
            let key = letter
                .key
                .as_deref()
                .map_or("(no key)".into(), String::from_utf8_lossy);
            format!(
                "{} from {topic}-{partition} at {offset}, {condition}",
                key.escape_debug()
            )
        });

        // The run continues even if nothing reads its output any more.
        let _gone = writeln!(self.0, "  {place:<10} {what:<12} {about}");
    }

    fn progress(&mut self, outcome: &Outcome) {
        let _gone = writeln!(
            self.0,
            "  sent {} so far, left {}",
            outcome.sent, outcome.left
        );
    }
}

impl<W: Write> Report for JsonLines<W> {
    fn letter(&mut self, line: &Line<'_>) {
        let (action, reason) = match line.action {
            Action::Sent => ("sent", None),
            Action::WouldSend => ("would_send", None),
            Action::PassedOver => ("passed_over", None),
            Action::Left(reason) => ("left", Some(reason.to_string())),
        };

        let original = line.letter.map(
            |letter| json!({"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}),
        );

        let object = json!({
            "event": "letter",
            "partition": line.partition,
            "offset": line.offset,
            "action": action,
            "reason": reason,
            "condition": line.letter.map(|letter| &letter.condition),
            "function_error": line.letter.and_then(|letter| letter.function_error.as_ref()),
            "key": line.letter.and_then(|letter| letter.key.as_deref()).map(String::from_utf8_lossy),
            "original": original,
        });

        let _gone = writeln!(self.0, "{object}");
    }

    fn progress(&mut self, _outcome: &Outcome) {}
}
