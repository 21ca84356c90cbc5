//! Delivers the batches of each lane to the function, one after the other, and notes what is
//! resolved.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use rdkafka::consumer::Consumer as _;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::commit::{Committer, until_the_end};
use super::consumer::Consumer;
use super::dead_letters::DeadLetters;
use super::invocation::{Answer, Target};
use super::lane::Outlet;
use super::retry::{Backoff, Condition, RetryLimits, RetryPlan, Step};
use super::timing;

/// Delivers the batches of one reader.
pub(super) struct Delivery {
    pub(super) target: Target,
    pub(super) consumer: Arc<Consumer>,
    pub(super) committer: Committer,
    pub(super) dead_letters: Option<DeadLetters>,
}

impl Delivery {
    /// Delivers until the reader ends, and commits all resolved records.
    pub(super) async fn run(&self, lanes: Vec<Outlet>) {
        let lanes_end = CancellationToken::new();
        let delivering = async {
            let lanes = lanes.into_iter().enumerate();
            futures::future::join_all(lanes.map(|(number, lane)| self.run_lane(number, lane)))
                .await;

            // Only now: the committer has to see what the last batches of all lanes noted.
            lanes_end.cancel();
        };

        tokio::join!(
            delivering,
            self.committer.run(&lanes_end, &self.target.reader_end)
        );
    }

    /// Takes a lane's batches until the reader ends. A batch in flight is awaited, and committed if
    /// it succeeded.
    async fn run_lane(&self, number: usize, mut lane: Outlet) {
        loop {
            // The lane hands a batch only to a slot that is free.
            lane.ready();

            let Some(Some(batch)) = self
                .target
                .reader_end
                .run_until_cancelled(lane.batches.recv())
                .await
            else {
                return;
            };

            let batch = batch.close(&self.target.head, &self.target.definition.topic);
            self.target.status.handed_over(number, &batch);

            let invoked = timing::now();
            self.deliver(number, &batch).await;
            timing::tell(&batch, invoked);

            self.target.status.let_go(number);
        }
    }

    /// Returns when every record is processed or a dead letter, when the partitions are lost, or at
    /// the reader's end.
    async fn deliver(&self, lane: usize, batch: &Batch) {
        let limits = RetryLimits {
            max_retry_attempts: self.target.definition.max_retry_attempts,
            bisect_on_error: self.target.definition.bisect_on_error,
        };
        let mut plan = RetryPlan::new(batch.len(), limits);
        let mut not_run = Backoff::default();

        loop {
            // Before each step: partitions may have been lost during the last one, and their
            // records belong to another member.
            self.drop_revoked(batch, &mut plan);
            self.discard_too_old(batch, &mut plan);

            let goes_on = match plan.step() {
                Step::Done => break,
                Step::Discard {
                    records,
                    condition,
                    attempts,
                } => {
                    let sent = self
                        .send_dead_letters(batch, records, condition, attempts)
                        .await;
                    if sent {
                        plan.resolved();
                    }
                    sent || self.wait(not_run.next()).await
                }
                Step::Invoke { records, wait } => {
                    let on_time = self.wait(wait).await;
                    let answer = if on_time {
                        self.target.invoke(lane, batch, records).await
                    } else {
                        Answer::Stopping
                    };
                    self.apply(answer, &mut plan, &mut not_run).await
                }
            };

            // Records of lost partitions count as resolved here; the committer omits their offsets.
            self.committer.note(batch, &plan);
            if !goes_on {
                return;
            }
        }
    }

    /// Updates the plan according to the answer. Returns false at the reader's end.
    async fn apply(&self, answer: Answer, plan: &mut RetryPlan, not_run: &mut Backoff) -> bool {
        match answer {
            Answer::TooLarge => plan.discard(Condition::MaximumPayloadSizeExceeded, |_| true),
            Answer::Success => plan.resolved(),
            Answer::PartialFailure(failed) => plan.partly_failed(failed),
            Answer::Failure => plan.failed(),
            Answer::NotRun => return self.wait(not_run.next()).await,
            Answer::Stopping => return false,
        }

        *not_run = Backoff::default();
        true
    }

    /// Returns true once the records are acknowledged as dead letters, or are dropped because the
    /// mapping has no destination.
    async fn send_dead_letters(
        &self,
        batch: &Batch,
        numbers: &[usize],
        condition: Condition,
        attempts: u32,
    ) -> bool {
        let reason = condition.as_str();
        let Some(dead_letters) = &self.dead_letters else {
            self.target.report(
                batch,
                numbers,
                reason,
                "records were discarded and are lost",
            );
            return true;
        };

        let sending = dead_letters.send(batch, numbers, condition, attempts);
        let Some(sent) = until_the_end(&self.target.reader_end, sending).await else {
            return false;
        };

        match &sent {
            Ok(()) => self
                .target
                .report(batch, numbers, reason, "records became dead letters"),
            Err(error) => {
                let reason = error.to_string();
                self.target.report(
                    batch,
                    numbers,
                    &reason,
                    "dead letters were not acknowledged; trying again",
                );
            }
        }

        sent.is_ok()
    }

    fn drop_revoked(&self, batch: &Batch, plan: &mut RetryPlan) {
        let assignment = self.consumer.context();
        for (records, range) in batch.ranges() {
            if !assignment.holds(records) {
                plan.retain(|number| !range.contains(&number));
            }
        }
    }

    fn discard_too_old(&self, batch: &Batch, plan: &mut RetryPlan) {
        let Some(age) = self
            .target
            .definition
            .max_record_age
            .and_then(|age| TimeDelta::from_std(age).ok())
        else {
            return;
        };

        let oldest = (Utc::now() - age).timestamp_millis();
        // A record without a time (-1) has no age.
        let too_old = |time: i64| (0..oldest).contains(&time);
        let too_old = |number| {
            batch
                .record(number)
                .is_some_and(|(_, record)| too_old(record.timestamp))
        };

        plan.discard(Condition::RecordAgeExceeded, too_old);
    }

    /// Waits. Returns false at the reader's end.
    async fn wait(&self, wait: Duration) -> bool {
        if wait.is_zero() {
            return !self.target.reader_end.is_cancelled();
        }

        self.target
            .reader_end
            .run_until_cancelled(tokio::time::sleep(wait))
            .await
            .is_some()
    }
}
