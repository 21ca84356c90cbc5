//! The averager on a real Postgres: its promises against a naive reference.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue should fail at that line"
)]

mod batches;
mod changes;
mod connections;
mod means;
mod migrations;
mod property;
mod refusals;
mod rules;
mod set_back;
mod units;

use e2e::reference;
