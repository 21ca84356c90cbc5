//! The port to the dead letters, for functions, which must not block.

use async_trait::async_trait;
use tokio::time::timeout;

use super::letter::Letter;
use super::run::{Action, Line, Options, Outcome, Report, redrive};
use super::{DeadLetterError, TIME};
use crate::config::Kafka;

/// Most letters that cannot be sent which a call returns.
const MOST_LEFT: usize = 100;
/// Bytes of a value that are kept.
const KEPT_BYTES: usize = 4_096;

/// Which letters are sent back, or only looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Only letters with this condition or function error.
    pub reason: Option<String>,
    /// Reports what would be done, and does nothing.
    pub dry_run: bool,
    /// Most letters that are sent.
    pub limit: usize,
}

/// A letter, and what was done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The letter's partition in the dead-letter topic.
    pub partition: i32,
    /// The letter's offset in the partition.
    pub offset: i64,
    /// The decoded letter, with the beginning of its value; `None` if it cannot be decoded.
    pub letter: Option<Letter>,
    /// The letter's result.
    pub action: Action,
}

/// The result for the selected letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// The numbers of letters.
    pub outcome: Outcome,
    /// The letters, without those of another reason, and with the first hundred that cannot be
    /// sent.
    pub letters: Vec<Seen>,
}

/// Dead letters that can be sent back.
#[async_trait]
pub trait DeadLetters: std::fmt::Debug + Send + Sync {
    /// Sends the selected letters back that were not sent before. Takes 20 s at most.
    ///
    /// # Errors
    /// When Kafka is unavailable, or does not acknowledge a record. Acknowledged records are not
    /// sent again.
    async fn redrive(&self, selection: &Selection) -> Result<Redriven, DeadLetterError>;
}

/// The dead letters on Kafka. There is no connection before the first call, nor between calls.
#[derive(Debug)]
pub struct KafkaDeadLetters(Kafka);

impl KafkaDeadLetters {
    /// The letters on the dead-letter topic of `kafka`.
    #[must_use]
    pub fn new(kafka: &Kafka) -> Self {
        Self(kafka.clone())
    }
}

#[async_trait]
impl DeadLetters for KafkaDeadLetters {
    async fn redrive(&self, selection: &Selection) -> Result<Redriven, DeadLetterError> {
        let options = Options {
            kafka: self.0.clone(),
            reason: selection.reason.clone(),
            dry_run: selection.dry_run,
            limit: Some(selection.limit),
        };

        let run = tokio::task::spawn_blocking(move || {
            let mut collected = Collected::default();
            let outcome = redrive(&options, &mut collected)?;
            Ok(Redriven {
                outcome,
                letters: collected.seen,
            })
        });
        match timeout(TIME, run).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) | Err(_) => Err(DeadLetterError::Silent(TIME.as_secs())),
        }
    }
}

#[derive(Default)]
struct Collected {
    seen: Vec<Seen>,
    /// How many of them cannot be sent.
    left: usize,
}

/// The letter with the beginning of its value: a list of whole ones could be large.
fn beginning(letter: &Letter) -> Letter {
    let mut letter = letter.clone();
    letter.value.truncate(KEPT_BYTES);
    letter
}

impl Report for Collected {
    fn letter(&mut self, line: &Line<'_>) {
        let is_left = matches!(line.action, Action::Left(_));
        if line.action == Action::PassedOver || (is_left && self.left >= MOST_LEFT) {
            return;
        }

        self.left += usize::from(is_left);
        self.seen.push(Seen {
            partition: line.partition,
            offset: line.offset,
            letter: line.letter.map(beginning),
            action: line.action,
        });
    }

    fn progress(&mut self, _outcome: &Outcome) {}
}
