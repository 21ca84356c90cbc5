//! What the tests of whole parts share: a real Postgres, the built binaries, and the stack as a person starts it.

pub mod binaries;
pub mod postgres;
