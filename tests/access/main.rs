//! Keys of the HTTP API: who is let in, and how often. The router in process, behind the events of
//! API Gateway and of the emulator's gateway, on a real Postgres.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue should fail at that line"
)]

mod command;
mod cost;
mod entering;
mod guarded;
mod keys;
mod limits;
mod query;
mod routes;
mod use_times;
