//! The api's router in process, on a real Postgres that is filled by the averager's own code.

mod connections;
mod digits;
mod export_command;
mod exports;
mod fallback;
mod fixture;
mod health;
mod history;
mod instruments;
mod job_control;
mod kafka_unavailable;
mod keys;
mod latest;
mod market_hours;
mod polling_jobs;
mod polling_jobs_once;
mod postgres_unavailable;
mod quoter;
mod relayed_jobs;
mod run_now;
mod runs;
mod series;
mod sharing;
mod spelling;
mod symbols;
mod turns;
