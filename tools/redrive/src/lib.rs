//! What the command that sends dead letters back prints. [`shared::dead_letters`] does the work.

pub mod report;
