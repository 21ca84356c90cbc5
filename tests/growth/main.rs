//! Growth on a real Postgres: partitions made ahead of need, retention, and what becomes of quotes that come too late.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail where it stands")]

mod part_states;
mod plans;
mod retention;
mod splitting;
mod world;
