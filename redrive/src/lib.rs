//! Sends dead letters back to the topic they came from.
//!
//! A dead letter is the envelope that Lambda's event source mapping writes around a record whose batch was given up
//! ([`letter`]). The record in it is sent again, its key unchanged; what it lacks of identity is filled in from where
//! and when it was first recorded, so that the outcome stays independent of order. What was sent is noted in the
//! offsets of a consumer group of the command's own ([`progress`]), after the brokers acknowledged it: a second run
//! sends what is left.

pub mod letter;
pub mod progress;
pub mod report;

mod letters;
mod producer;
mod run;

pub use run::{Options, Outcome, redrive};
