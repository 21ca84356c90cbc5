//! The services behind the functions, for those who bring none of their own: Postgres and a broker.

pub(crate) mod broker;
pub(crate) mod postgres;
mod service;
