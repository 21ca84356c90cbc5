//! Logging to standard output, where Lambda reads it.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{self, Logging};

/// Starts logging as set by `RUST_LOG` and `AWS_LAMBDA_LOG_FORMAT`. A malformed variable ends the
/// process, as any other does.
///
/// A second call changes nothing.
pub fn init() {
    let Logging { filter, json } = config::or_exit(Logging::from_environment());

    // Not `EnvFilter`, whose regular expressions add 0.2 MB to each function. The configuration has
    // already checked the filter.
    let filter: Targets = filter.parse().unwrap_or_default();

    let lines = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_ansi(false);

    // An error means that logging was initialised before.
    let _ = if json {
        // Lambda's own filter reads `timestamp` and `level` at the top of each object.
        lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .with(filter)
            .try_init()
    } else {
        lines.compact().finish().with(filter).try_init()
    };
}
