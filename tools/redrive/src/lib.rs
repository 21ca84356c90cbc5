//! Sends dead letters back to their original topic.
//!
//! A dead letter is the envelope that Lambda's event source mapping writes around a record whose
//! batch it discarded ([`letter`]). The record is sent again with its key unchanged. If it has no
//! identity, its id and poll time are derived from where and when Kafka first stored it, so that
//! the result does not depend on order. Acknowledged records are recorded in the offsets of the
//! command's own consumer group ([`progress`]), and a second run sends only the rest.

pub mod letter;
pub mod progress;
pub mod report;

mod letters;
mod producer;
mod run;

pub use run::{Options, Outcome, redrive};
