//! Failed tasks: each is reported by itself, and does not prevent the others.

use std::error::Error;
use std::fmt;

use lambda_runtime::Diagnostic;
use tracing::error;

/// A task that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The task's name.
    pub task: String,
    /// The error without its cause, which only the log contains.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.task, self.reason)
    }
}

/// The failures of one run.
#[derive(Debug, Default)]
pub struct Failures(pub Vec<Failure>);

impl Failures {
    /// Returns the result of a task; a failure is logged with its cause and recorded, without the
    /// cause.
    pub fn done<T, E: Error>(&mut self, task: &str, result: Result<T, E>) -> Option<T> {
        let error = match result {
            Ok(done) => return Some(done),
            Err(error) => error,
        };

        let cause = error.source().map(ToString::to_string);
        error!(task, %error, cause, "task {task} failed");
        self.0.push(Failure {
            task: task.to_owned(),
            reason: error.to_string(),
        });

        None
    }
}

/// The tasks that failed. All others were done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpkeepError(pub Vec<Failure>);

impl UpkeepError {
    /// The names of the failed tasks without the reasons: for answers that any client may read.
    #[must_use]
    pub fn tasks(&self) -> String {
        self.0
            .iter()
            .map(|failure| failure.task.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for UpkeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "upkeep failed: {}", failures.join("; "))
    }
}

impl Error for UpkeepError {}

impl From<UpkeepError> for Diagnostic {
    fn from(error: UpkeepError) -> Self {
        Self {
            error_type: "UpkeepFailed".to_owned(),
            error_message: error.to_string(),
        }
    }
}
