//! Dead letters are sent back on librdkafka's mock broker; their points are checked on a real
//! Postgres.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue should fail at that line"
)]

mod letters;
mod points;
mod world;
