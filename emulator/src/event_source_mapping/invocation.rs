//! One invocation of the function, and what its answer means for the records.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::batch::{Batch, EventHead, LARGEST_PAYLOAD};
use super::response;
use super::status::Status;
use crate::invoker::{InvokeError, Invoker, Outcome};
use crate::template::EventSourceMapping;

/// The result of one invocation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Every record was processed.
    Success,
    /// These records failed, the others succeeded.
    PartialFailure(Vec<usize>),
    /// The whole batch failed.
    Failure,
    /// A single record exceeds the largest payload of an invocation.
    TooLarge,
    /// The function was not run. The records are to be tried again.
    NotRun,
    /// The reader ends.
    Stopping,
}

/// The function that a mapping invokes.
pub(super) struct Target {
    pub(super) definition: EventSourceMapping,
    pub(super) head: EventHead,
    pub(super) invoker: Arc<dyn Invoker>,
    pub(super) status: Arc<Status>,
    /// Cancelled when the reader ends.
    pub(super) reader_end: CancellationToken,
}

impl Target {
    /// Invokes the function with these records of a lane, and waits for its answer.
    pub(super) async fn invoke(&self, lane: usize, batch: &Batch, numbers: &[usize]) -> Answer {
        let event = batch.event(&self.head, &self.definition.topic, numbers);
        if event.len() > LARGEST_PAYLOAD && numbers.len() == 1 {
            return Answer::TooLarge;
        }

        let function = &self.definition.function;
        match self.invoker.invoke_for(lane, function, event).await {
            Ok(Outcome::Success(answer)) => self.read(&answer, batch, numbers),
            Ok(Outcome::FunctionError(error)) => {
                self.report(
                    batch,
                    numbers,
                    &error.error_type,
                    "the function failed on a batch",
                );
                Answer::Failure
            }
            // A function host that is being replaced returns `Stopping`, too. Its successor takes
            // the batch.
            Err(InvokeError::Stopping) if self.reader_end.is_cancelled() => Answer::Stopping,
            Err(error) => {
                self.report(
                    batch,
                    numbers,
                    &error.to_string(),
                    "a batch waits for its function",
                );
                Answer::NotRun
            }
        }
    }

    /// Logs the result for these records, with the coordinates of the first, and adds it to the
    /// status.
    pub(super) fn report(
        &self,
        batch: &Batch,
        numbers: &[usize],
        reason: &str,
        what: &'static str,
    ) {
        let EventSourceMapping { id, function, .. } = &self.definition;
        let first = numbers.first().and_then(|number| batch.record(*number));
        let (partition, offset) = first
            .map(|(records, record)| (records.partition, record.offset))
            .unzip();

        self.status.failed(partition, reason);
        tracing::warn!(
            id,
            function,
            records = numbers.len(),
            partition,
            offset,
            reason,
            "{id}: {what}"
        );
    }

    fn read(&self, answer: &[u8], batch: &Batch, numbers: &[usize]) -> Answer {
        if !self.definition.report_batch_item_failures {
            return Answer::Success;
        }
        match response::failures(answer, batch, &self.definition.topic, numbers) {
            None => {
                self.report(
                    batch,
                    numbers,
                    "unreadable batchItemFailures",
                    "the function failed on a batch",
                );
                Answer::Failure
            }
            Some(failed) if failed.is_empty() => Answer::Success,
            Some(failed) => {
                self.report(
                    batch,
                    &failed,
                    "batchItemFailures",
                    "the function failed on some records",
                );
                Answer::PartialFailure(failed)
            }
        }
    }
}
