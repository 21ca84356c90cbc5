//! Polling on a real Postgres: jobs, claims, relays and the reconciliation of schedules. The tests
//! set the time.

mod breakers;
mod budgets;
mod changes;
mod changes_meanwhile;
mod claims;
mod configurations;
mod event_bridge;
mod fallback;
mod gate;
mod gate_outcomes;
mod jobs;
mod jumping_clock;
mod leases;
mod locked_jobs;
mod market_hours;
mod metered;
mod moves;
mod outcomes;
mod pending_and_deleted;
mod processes;
mod reconciliation;
mod relay;
mod relay_schedules;
mod relays;
mod requests;
mod schedules_client;
mod scripted_provider;
mod seams;
mod shared_requests;
mod sharing;
mod stalled;
mod ticks;
mod time_limits;
mod world;
