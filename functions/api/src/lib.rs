//! The HTTP API as a Lambda function: an axum router on `lambda_http`.
//!
//! `main` only wires the parts; tests call the [`router()`] in process. `GET /prices/latest` asks
//! providers and publishes to the log ([`AppState::price_log`]). All other endpoints read Postgres,
//! or write polling jobs and their schedules. The api never writes price points: only the averager
//! does.

mod access;
mod average;
mod candles;
mod changes;
mod contract;
mod cors;
mod cursor;
mod dead_letters;
mod deadline;
mod docs;
mod foreign_pages;
mod health;
mod history;
mod json_bodies;
mod latest;
mod names;
mod observed;
mod page;
mod paging;
mod polling_jobs;
mod problem;
mod providers;
mod query;
mod quotes;
mod rejected;
mod representation;
mod request_id;
mod router;
mod schema;
mod state;
mod stored;
mod symbols;
mod verify;

pub use access::{Access, Keys};
pub use deadline::ASKING_TIME;
pub use observed::Observed;
pub use router::router;
pub use state::AppState;
