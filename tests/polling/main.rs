//! Polling on a real Postgres: jobs, claims, relays and the reconciliation of schedules. The tests
//! set the time.

mod breakers;
mod budgets;
mod changes;
mod claims;
mod event_bridge;
mod fallback;
mod gate;
mod jobs;
mod outcomes;
mod pending_and_deleted;
mod reconciliation;
mod relay;
mod schedules_client;
mod stalled;
mod ticks;
mod time_limits;
mod world;
