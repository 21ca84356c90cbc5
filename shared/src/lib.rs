//! What the four functions share: the domain, the ports to external systems, and the Postgres
//! repository.
//!
//! The domain ([`price`], [`exact_decimal`], [`market`], [`moving_average`], [`candle`],
//! [`price_event`], [`tick`]) is pure and synchronous. The ports and their adapters ([`provider`], [`price_log`],
//! [`schedules`], [`repository`]) do not depend on each other. [`acquisition`] and [`instruments`]
//! combine them for what api and poller have in common; the functions combine them for the rest.
//! [`access`] is what an API key is. Only [`config`] reads environment variables.
//!
//! This crate never sees a Lambda event: each function decodes its own.

pub mod access;
pub mod acquisition;
pub mod candle;
pub mod config;
pub mod dead_letters;
pub mod exact_decimal;
pub mod instruments;
pub mod invocations;
pub mod market;
pub mod moving_average;
pub mod price;
pub mod price_event;
pub mod price_log;
pub mod provider;
pub mod redriving;
pub mod repository;
pub mod schedules;
pub mod telemetry;
pub mod tick;
