//! Logging: to standard output, where Lambda reads it.

use tracing_subscriber::EnvFilter;

use crate::config::{self, Logging};

/// Starts logging as `RUST_LOG` and `AWS_LAMBDA_LOG_FORMAT` say; a malformed variable ends the process like any other.
///
/// A second call changes nothing.
pub fn init() {
    let Logging { filter, json } = config::or_exit(Logging::from_environment());
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_ansi(false);
    // An error means that logging stands already.
    let _ = if json {
        // Lambda's own filter looks for `timestamp` and `level` at the top of each object.
        lines.json().flatten_event(true).with_span_list(false).try_init()
    } else {
        lines.compact().try_init()
    };
}
