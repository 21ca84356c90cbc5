//! The Postgres repository: all SQL of the pipeline, as free functions, one file for each table.
//!
//! Functions take `impl PgExecutor<'_>` for one statement and `&mut PgConnection` for several.

pub mod api_keys;
mod batched_deletion;
pub mod breakers;
pub mod candles;
pub mod changes;
pub mod clock;
mod connections;
mod error;
pub mod export_ends;
pub mod fetch_leases;
pub mod ingest;
pub mod instruments;
mod numeric;
pub mod part_states;
pub mod partitions;
pub mod polling_jobs;
pub mod polling_runs;
pub mod price_points;
pub mod raw_responses;
pub mod rejected_events;
pub mod relays;
pub mod request_budgets;
pub mod schema;
pub mod series;
mod transaction;
pub mod verification;

pub use connections::connect;
pub use error::{Error, Refusal};
pub use schema::MIGRATOR;
