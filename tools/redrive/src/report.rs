//! The output of a run: text for people, or JSON lines for programs.

use std::io::Write;

use serde_json::json;
use shared::dead_letters::letter::Letter;
use shared::dead_letters::{Action, Line, Outcome, Report};

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
