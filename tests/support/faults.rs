//! Faults on purpose: real Kafka, real Postgres and the real binaries, broken while a dirty stream of events flows.
//!
//! Every run has a seed, from which its stream and the moments of its faults follow, and ends in the same [`check`]:
//! nothing that Kafka acknowledged is lost, nothing is doubled, every average is exact.

pub mod broker;
pub mod cases;
pub mod check;
pub mod fault;
pub mod publisher;
pub mod run;
pub mod site;
pub mod stream;
pub mod topic_content;
