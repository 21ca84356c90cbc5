//! Pauses between the attempts of something that is repeated until it succeeds. Each is twice as
//! long as the one before, up to a longest one.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The pauses of one action.
#[derive(Debug)]
pub(crate) struct Pauses {
    settings: ExponentialBuilder,
    longest: Duration,
    growing: ExponentialBackoff,
}

impl Pauses {
    /// Pauses that grow from `first` to `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        let settings = ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times();

        Self {
            settings,
            longest,
            growing: settings.build(),
        }
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        self.growing.next().unwrap_or(self.longest)
    }

    /// Makes the next pause the first one again.
    pub(crate) fn start_over(&mut self) {
        self.growing = self.settings.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over() {
        let mut pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(5));

        let seconds: Vec<_> = (0..5).map(|_| pauses.next().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 5, 5]);

        pauses.start_over();
        assert_eq!(pauses.next().as_secs(), 1);
    }
}
