//! Keeps a mapping's reader running: if it ends for any reason, another one replaces it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::status::Status;
use crate::pauses::Pauses;

/// From the end of one reader to the start of the next. It doubles while readers end soon.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A reader that ran for this long was healthy, so the pauses start from the first again.
const SOUND: Duration = Duration::from_secs(60);

/// The pauses between one reader and the next.
pub(super) fn pauses() -> Pauses {
    Pauses::new(FIRST_PAUSE, LONGEST_PAUSE)
}

/// Returns the pause after a reader that ran for this long.
fn pause_after(ran: Duration, pauses: &mut Pauses) -> Duration {
    if ran >= SOUND {
        pauses.start_over();
    }
    pauses.next()
}

/// Runs one reader after another until `mapping_end`. Each runs until it returns an error, panics,
/// or its client meets a fatal error.
pub(super) async fn keep_running<Reading>(
    status: &Status,
    mapping_end: &CancellationToken,
    mut pauses: Pauses,
    mut start: impl FnMut() -> Reading,
) where
    Reading: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    loop {
        let started = Instant::now();
        // In a task of its own, so that a panic ends only the reader.
        let ended = tokio::spawn(start()).await;
        if mapping_end.is_cancelled() {
            return;
        }

        let reason = match ended {
            Ok(Ok(())) => "fatal consumer error".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => panic.to_string(),
        };

        let pause = pause_after(started.elapsed(), &mut pauses);
        let (id, seconds) = (status.id(), pause.as_secs());
        tracing::error!(
            id,
            reason,
            seconds,
            "the reader of {id} ended; starting another in {seconds} s"
        );
        status.reader_ended(reason);

        if mapping_end
            .run_until_cancelled(sleep(pause))
            .await
            .is_none()
        {
            return;
        }
        status.reader_restarted();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_ends_for_any_reason_is_followed_by_another() {
        let (mapping_end, status) = (CancellationToken::new(), Status::of("averager-prices"));
        let mut number = 0;
        let start = || {
            number += 1;
            let (number, mapping_end) = (number, mapping_end.clone());
            async move {
                match number {
                    1 => anyhow::bail!("no client"),
                    2 => panic!("a record"),
                    4 => mapping_end.cancel(),
                    _ => {}
                }
                Ok(())
            }
        };

        keep_running(
            &status,
            &mapping_end,
            Pauses::new(Duration::ZERO, Duration::ZERO),
            start,
        )
        .await;

        let reader = status.report().reader;
        assert_eq!((number, reader.restarts), (4, 3));
        assert_eq!(reader.last_end.unwrap().reason, "fatal consumer error");
        assert!(
            reader.down_since.is_some(),
            "it is up when the group has taken it in"
        );
    }

    #[test]
    fn pauses_grow_while_readers_end_soon_and_begin_anew_behind_one_that_was_sound() {
        let mut pauses = pauses();
        let mut after = |seconds| pause_after(Duration::from_secs(seconds), &mut pauses).as_secs();
        let soon: Vec<_> = (0..7).map(|_| after(5)).collect();
        assert_eq!(soon, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!([after(60), after(5)], [1, 2]);
    }
}
