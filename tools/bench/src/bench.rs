//! What every benchmark uses.

use std::path::Path;

use crate::cli::Cli;
use crate::postgres::Server;
use crate::progress::Progress;
use crate::report::Report;

/// The machine's parts that are measured, and where the results go.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) cli: &'a Cli,
    /// The folder with the emulator and the functions.
    pub(crate) binaries: &'a Path,
    pub(crate) progress: &'a Progress,
    pub(crate) server: Server,
    pub(crate) report: Report,
}
