//! One run: sends letter after letter from the dead-letter topic to the price topic.

use std::ops::ControlFlow;

use rdkafka::message::{BorrowedMessage, Message};

use super::DeadLetterError;
use super::letter::{Letter, MOST_TIMES, Unsendable};
use super::letters::{Letters, Range};
use super::producer::{Delivery, Producer};
use super::progress::Progress;
use crate::config::Kafka;

/// Letters sent before waiting for their acknowledgements and committing.
const CHUNK: usize = 500;
/// Bytes of letters that complete a chunk, even one of few letters.
const CHUNK_BYTES: usize = 8_000_000;

/// What to send, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The brokers and the topics.
    pub kafka: Kafka,
    /// Only letters with this condition or function error.
    pub reason: Option<String>,
    /// Reports what would be done, and does nothing.
    pub dry_run: bool,
    /// Ends the run after so many letters that are sent.
    pub limit: Option<usize>,
}

/// The numbers of letters, by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// Sent back or, in a dry run, to be sent.
    pub sent: usize,
    /// Of another reason than the requested one.
    pub passed_over: usize,
    /// Cannot be sent back. They are left in the topic, and the next run reports them again.
    pub left: usize,
    /// Sent by an earlier run. Letters before the first one that is left to send are not counted.
    pub sent_before: usize,
    /// Whether the run ended at its limit.
    pub more: bool,
}

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

/// Sends dead letters back, and reports each to `report`.
///
/// # Errors
/// When Kafka is unavailable or does not acknowledge a record. Acknowledged records are committed
/// and not sent again.
pub fn redrive(options: &Options, report: &mut dyn Report) -> Result<Outcome, DeadLetterError> {
    let letters = Letters::open(&options.kafka)?;
    let mut run = Run {
        options,
        letters: &letters,
        producer: Producer::open(&options.kafka)?,
        report,
        outcome: Outcome::default(),
    };

    for partition in letters.partitions()? {
        if !run.outcome.more {
            run.partition(partition)?;
        }
    }

    Ok(run.outcome)
}

struct Run<'a> {
    options: &'a Options,
    letters: &'a Letters,
    producer: Producer,
    report: &'a mut dyn Report,
    outcome: Outcome,
}

/// Letters to send together, with their offsets.
#[derive(Default)]
struct Chunk {
    letters: Vec<(i64, Letter)>,
    bytes: usize,
}

impl Run<'_> {
    /// Sends the letters of one partition, chunk by chunk.
    fn partition(&mut self, partition: i32) -> Result<(), DeadLetterError> {
        let letters = self.letters;
        let range = letters.range(partition)?;

        let mut progress = range.progress.clone();
        let mut chunk = Chunk::default();

        letters.read(partition, &range, |message| {
            let taken = self.outcome.sent + chunk.letters.len();
            if self.options.limit.is_some_and(|limit| taken >= limit) {
                self.outcome.more = true;
                return Ok(ControlFlow::Break(()));
            }

            self.take(&range, message, &mut chunk);
            if chunk.letters.len() >= CHUNK || chunk.bytes >= CHUNK_BYTES {
                self.send(partition, &std::mem::take(&mut chunk), &mut progress)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;

        self.send(partition, &chunk, &mut progress)
    }

    /// Adds a letter to the chunk if it is to be sent; otherwise reports it.
    fn take(&mut self, range: &Range, message: &BorrowedMessage<'_>, chunk: &mut Chunk) {
        let (partition, offset) = (message.partition(), message.offset());
        if range.progress.contains(offset) {
            self.outcome.sent_before += 1;
            return;
        }

        let payload = message.payload().unwrap_or_default();
        let letter = match Letter::read(payload) {
            Ok(letter) => letter,
            Err(reason) => {
                return self.leave(&Line {
                    partition,
                    offset,
                    letter: None,
                    action: Action::Left(reason),
                });
            }
        };

        let line = |action| Line {
            partition,
            offset,
            letter: Some(&letter),
            action,
        };

        if self
            .options
            .reason
            .as_ref()
            .is_some_and(|reason| !letter.has_reason(reason))
        {
            self.outcome.passed_over += 1;
            self.report.letter(&line(Action::PassedOver));
        } else if letter.topic != self.options.kafka.price_topic {
            self.leave(&line(Action::Left(Unsendable::OtherTopic)));
        } else if letter.redriven >= MOST_TIMES {
            self.leave(&line(Action::Left(Unsendable::TooOften)));
        } else if self.options.dry_run {
            self.outcome.sent += 1;
            self.report.letter(&line(Action::WouldSend));
        } else {
            chunk.bytes += payload.len();
            chunk.letters.push((offset, letter));
        }
    }

    /// Sends the chunk, waits for the acknowledgements, and commits them.
    fn send(
        &mut self,
        partition: i32,
        chunk: &Chunk,
        progress: &mut Progress,
    ) -> Result<(), DeadLetterError> {
        if chunk.letters.is_empty() {
            return Ok(());
        }

        for (number, (_, letter)) in chunk.letters.iter().enumerate() {
            let (key, times) = (letter.key.as_deref(), letter.redriven + 1);
            self.producer
                .send(number, key, &letter.value_to_send(), times);
        }

        let mut failure = None;
        let mut deliveries = self.producer.deliveries()?;
        deliveries.sort_unstable_by_key(|(number, _)| *number);

        for (number, delivery) in deliveries {
            let Some((offset, letter)) = chunk.letters.get(number) else {
                continue;
            };
            let line = |action| Line {
                partition,
                offset: *offset,
                letter: Some(letter),
                action,
            };

            match delivery {
                Delivery::Acknowledged => {
                    progress.done(*offset);
                    self.outcome.sent += 1;
                    self.report.letter(&line(Action::Sent));
                }
                Delivery::TooLarge => self.leave(&line(Action::Left(Unsendable::TooLarge))),
                Delivery::Failed(code) => failure = Some(code),
            }
        }

        // Committed before a failure is returned: acknowledged records must not be sent again.
        self.letters.commit(partition, progress)?;
        self.report.progress(&self.outcome);

        match failure {
            Some(code) => Err(DeadLetterError::NotAcknowledged(code)),
            None => Ok(()),
        }
    }

    /// Reports a letter that cannot be sent back, and counts it.
    fn leave(&mut self, line: &Line<'_>) {
        self.outcome.left += 1;
        self.report.letter(line);
    }
}
