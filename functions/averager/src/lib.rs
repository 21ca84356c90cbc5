//! The averager keeps the moving averages. Each invocation receives one Kafka batch, judges its
//! records, and stores points, repaired averages and rejected events in one transaction.
//!
//! An answer without an error means that every record of the batch is a point, lost to a newer poll
//! of its quote, is older than retention keeps, or is in quarantine. An error means that the batch
//! was not stored completely and should come again: events that have been stored change nothing the
//! next time.

pub mod batch;
pub mod event;
pub mod event_text;
pub mod failure;
pub mod handler;
mod storing;
