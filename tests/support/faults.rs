//! Deliberate faults: real Kafka, real Postgres and the real binaries, broken while a dirty stream
//! of events flows.
//!
//! Every run has a seed, which determines its stream and the moments of its faults. Every run ends
//! in the same [`check`]: nothing that Kafka acknowledged is lost, nothing is stored twice, every
//! average is exact.

pub mod broker;
pub mod cases;
pub mod check;
pub mod fault;
pub mod publisher;
pub mod run;
pub mod site;
pub mod stream;
pub mod topic_content;
