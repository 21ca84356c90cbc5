//! Scenarios through the whole stack: real Postgres, real function binaries, and the emulator as a
//! user starts it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue should fail at that line"
)]

mod another_scheduler;
mod averages;
mod changes;
mod codecs;
mod fallback;
mod falling_behind;
mod foreign_page;
mod invoke_api;
mod keys;
mod membership;
mod odd_records;
mod outages;
mod prices;
mod quarantine;
mod relays;
mod restart;
mod run_now;
mod split;
mod topics;
mod trouble;
mod unread_output;
