//! Keeps the moving averages: takes one Kafka batch per invocation, judges its records, and stores points, repaired
//! averages and rejects in one transaction.
//!
//! An answer without error means that every record of the batch is a point, is beaten by a newer answer for its
//! quote, or is in quarantine. An error means that not all of it was stored, and that it should come again: what was
//! stored the first time changes nothing the next.

pub mod batch;
pub mod event;
pub mod handler;
mod storing;
