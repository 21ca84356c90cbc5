//! Growth on a real Postgres: partitions created ahead of need, retention, and quotes that arrive
//! too late.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue should fail at that line"
)]

mod candles;
mod clocks;
mod folding;
mod leftovers;
mod part_states;
mod plans;
mod prices_view;
mod readers;
mod retention;
mod runs;
mod schema;
mod splitting;
mod time_limits;
mod world;
