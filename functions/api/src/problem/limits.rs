//! Maps the limits on polling jobs to problems: each says how to get below it.

use shared::repository::polling_jobs::LimitReached;

use super::{Problem, StatusCode};

impl From<LimitReached> for Problem {
    fn from(limit: LimitReached) -> Self {
        let (kind, title, detail) = match limit {
            LimitReached::Jobs { limit } => (
                "/docs#too-many-jobs",
                "Too many jobs",
                format!(
                    "there are already {limit} polling jobs, which is the most; delete one, or add the symbols to one \
                     of them"
                ),
            ),
            LimitReached::SymbolsPerJob { limit, asked } => (
                "/docs#too-many-symbols",
                "Too many symbols in one job",
                format!(
                    "a polling job may have {limit} symbols, not {asked}; share them between several jobs"
                ),
            ),
            LimitReached::Symbols {
                limit,
                polled,
                asked,
            } => (
                "/docs#too-many-symbols-in-all",
                "Too many symbols in all jobs",
                format!(
                    "the other polling jobs have {polled} symbols, and all together may have {limit}: {asked} more are \
                     too many; delete a job, or remove symbols from one"
                ),
            ),
        };
        Self::new(StatusCode::CONFLICT, kind, title, detail)
    }
}
