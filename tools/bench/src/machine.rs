//! The machine and the settings that the figures depend on.

use std::fs;

use serde_json::{Value, json};
use sqlx::Row as _;

use crate::busy_core::fixed_work;
use crate::figures::milliseconds;
use crate::postgres::Server;
use crate::report::rounded;

/// The machine, its present load, and the settings of Postgres that affect the figures.
pub(crate) async fn describe(server: &Server) -> anyhow::Result<Value> {
    let pool = server.pool(1)?;
    let mut postgres = serde_json::Map::new();

    for name in [
        "server_version",
        "shared_buffers",
        "max_wal_size",
        "checkpoint_timeout",
        "fsync",
        "synchronous_commit",
        "jit",
    ] {
        let value: String = sqlx::query("select current_setting($1)")
            .bind(name)
            .fetch_one(&pool)
            .await?
            .get(0);

        postgres.insert(name.to_owned(), value.into());
    }

    Ok(json!({
        "date": chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string(),
        "cores": std::thread::available_parallelism()?.get(),
        "processor": field("/proc/cpuinfo", "model name"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "profile": if cfg!(debug_assertions) { "dev: THE FIGURES MEAN NOTHING" } else { "release" },
        "postgres": postgres,
        "fixed_work_ms": speed(),
        "load_at_start": load(),
    }))
}

/// The time of a fixed piece of work on one core, in milliseconds: lower is a faster machine.
pub(crate) fn speed() -> Value {
    rounded(milliseconds(fixed_work()))
}

/// The load averages of the last one, five and fifteen minutes.
pub(crate) fn load() -> String {
    read("/proc/loadavg")
        .split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name));

    line.and_then(|line| line.split_once(':'))
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}
