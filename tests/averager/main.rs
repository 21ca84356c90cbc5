//! The averager on a real Postgres: its promises against a naive reference.

mod property;
mod reference;
mod rules;
