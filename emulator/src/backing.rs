//! Postgres and a broker, for users who have none of their own.

pub(crate) mod broker;
pub(crate) mod postgres;
mod service;
