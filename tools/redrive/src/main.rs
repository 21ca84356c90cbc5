//! The command that sends dead letters back.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use redrive::report::{JsonLines, Text};
use shared::config;
use shared::dead_letters::{Options, Outcome, Report, redrive};

const EXAMPLES: &str = "\
Examples:
  redrive --dry-run                    what would be sent, and why it had died
  redrive                              send everything that was not sent before
  redrive --reason RetriesExhausted    only letters of this condition or function error

KAFKA_BOOTSTRAP_SERVERS names the brokers, KAFKA_PRICE_TOPIC and KAFKA_DEAD_LETTER_TOPIC unusual topics.
Prints text on a terminal, otherwise JSON lines.

Exit status:
  0  all done
  1  Kafka failed; run it again, nothing acknowledged is sent twice
  2  wrong usage or configuration
  3  done, but some letters cannot be sent back";

/// Sends dead letters back to their original topic: keys unchanged, and each letter only once
#[derive(Debug, Parser)]
#[command(name = "redrive", version, after_help = EXAMPLES)]
struct Cli {
    /// Sends only letters with this condition or function error
    #[arg(long)]
    reason: Option<String>,
    /// Shows what would be sent, and sends nothing
    #[arg(long)]
    dry_run: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();

    let kafka = config::or_exit(config::Redrive::from_environment()).kafka;
    let options = Options {
        kafka,
        reason: cli.reason,
        dry_run: cli.dry_run,
        limit: None,
    };

    let mut stdout = std::io::stdout().lock();
    let terminal = stdout.is_terminal();
    let mut report: Box<dyn Report> = if terminal {
        Box::new(Text(&mut stdout))
    } else {
        Box::new(JsonLines(&mut stdout))
    };

    let result = redrive(&options, &mut *report);
    drop(report);

    match result {
        Ok(outcome) => {
            let _gone = writeln!(stdout, "{}", summary(&outcome, terminal, cli.dry_run));
            ExitCode::from(if outcome.left > 0 { 3 } else { 0 })
        }
        Err(error) => {
            let _gone = writeln!(std::io::stderr(), "error: {:#}", anyhow::Error::new(error));
            ExitCode::FAILURE
        }
    }
}

fn summary(outcome: &Outcome, terminal: bool, dry_run: bool) -> String {
    let Outcome {
        sent,
        passed_over,
        left,
        sent_before,
        ..
    } = outcome;

    if !terminal {
        let mut fields = serde_json::json!(outcome);
        fields["event"] = "done".into();
        fields["dry_run"] = dry_run.into();
        return fields.to_string();
    }

    let verb = if dry_run { "Would send" } else { "Sent" };
    format!(
        "{verb} {sent}; {passed_over} of another reason; {left} cannot be sent; {sent_before} sent before."
    )
}
