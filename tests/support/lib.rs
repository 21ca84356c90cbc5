//! Support for the tests of whole parts: a real Postgres, the built binaries, and the stack as a
//! user starts it.

pub mod binaries;
pub mod faults;
pub mod link;
pub mod memory_log;
pub mod postgres;
pub mod processes;
pub mod raw_records;
pub mod reference;
pub mod round_trips;
pub mod schedules;
pub mod stack;
pub mod topic;
mod unread;
pub mod waiting;
