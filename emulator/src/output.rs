//! Standard output and standard error, each written by a thread of its own.
//!
//! Their reader may stop reading: a pager, a terminal after Ctrl-S, a pipe without a reader. The
//! rest of the emulator must not wait for it. Lines wait here instead; those that find no room are
//! counted and reported later.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_indicatif::suspend_tracing_indicatif;

/// The most bytes that wait for a reader.
const MOST_BYTES: usize = 4 * 1024 * 1024;

static OUTPUT: LazyLock<Output> = LazyLock::new(|| Output::start("stdout", io::stdout()));
static ERROR: LazyLock<Output> = LazyLock::new(|| Output::start("stderr", BesideProgress));

/// Standard output.
pub(crate) fn output() -> &'static Output {
    &OUTPUT
}

/// Standard error.
pub(crate) fn error() -> &'static Output {
    &ERROR
}

/// Waits up to `patience` for the last lines of both to be written.
pub(crate) fn flush(patience: Duration) {
    let deadline = Instant::now() + patience;

    OUTPUT.flush(deadline);
    ERROR.flush(deadline);
}

/// Standard error, which a progress bar may occupy at the same time.
struct BesideProgress;

impl Write for BesideProgress {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        suspend_tracing_indicatif(|| io::stderr().write(lines))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Written by a thread of its own. Clones share the thread and its queue.
#[derive(Clone, Debug)]
pub(crate) struct Output(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Pieces that found no room since the last one that did.
    lost: u64,
    /// Whether a piece is being written.
    writing: bool,
}

impl Output {
    /// Starts a thread of this name that writes to `sink`.
    fn start(name: &str, sink: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);

        // Without the thread nothing is written; the emulator works all the same.
        let _no_thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || of_thread.run(sink));

        Self(shared)
    }

    /// Queues whole lines to be written. Returns at once.
    pub(crate) fn write(&self, lines: Vec<u8>) {
        let mut queue = self.0.lock();
        queue.push(lines);
        self.0.changed.notify_all();
    }

    fn flush(&self, deadline: Instant) {
        let mut queue = self.0.lock();

        while !queue.is_written() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }

            queue = self
                .0
                .changed
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Write for &Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        Output::write(self, lines.to_vec());
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn push(&mut self, lines: Vec<u8>) {
        if self.bytes + lines.len() > MOST_BYTES {
            self.lost += 1;
            return;
        }

        // Before the new lines, because it stands for lines that came before them.
        self.tell_loss();

        self.bytes += lines.len();
        self.pieces.push_back(lines);
    }

    /// Inserts a line that reports how many lines are missing.
    fn tell_loss(&mut self) {
        if self.lost > 0 {
            let told = format!(
                "(output was not read in time: {} lines are omitted here)\n",
                self.lost
            );
            self.lost = 0;
            self.bytes += told.len();
            self.pieces.push_back(told.into_bytes());
        }
    }

    fn is_written(&self) -> bool {
        self.pieces.is_empty() && self.lost == 0 && !self.writing
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut sink: impl Write) {
        loop {
            let piece = self.next();
            // If the reader is gone, there is nowhere to report it.
            let _gone = sink.write_all(&piece).and_then(|()| sink.flush());

            let mut queue = self.lock();
            queue.bytes -= piece.len();
            queue.writing = false;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        loop {
            if let Some(piece) = queue.pieces.pop_front() {
                // Set before the lock is released: otherwise a flush would find the piece neither
                // queued nor being written.
                queue.writing = true;
                return piece;
            }

            if queue.lost > 0 {
                queue.tell_loss();
                continue;
            }

            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes one piece each time `go` receives, and every piece once `go` is closed.
    struct Reader {
        go: Receiver<()>,
        read: Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            let _for_good = self.go.recv();
            self.read.send(piece.to_vec()).map_err(io::Error::other)?;
            Ok(piece.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_who_stands_still_and_what_he_missed_is_told_when_he_goes_on() {
        let ((go, told), (read, seen)) = (channel(), channel());

        let output = Output::start("test", Reader { go: told, read });
        let line = vec![b'x'; 1024 * 1024];

        for _ in 0..10 {
            output.write(line.clone());
        }

        output.flush(Instant::now() + Duration::from_millis(50));
        assert!(seen.try_recv().is_err());

        drop(go);
        output.flush(Instant::now() + Duration::from_secs(30));

        output.write(b"later\n".to_vec());
        output.flush(Instant::now() + Duration::from_secs(30));
        let pieces: Vec<Vec<u8>> = seen.try_iter().collect();

        assert_eq!(
            pieces.len(),
            6,
            "four of a mebibyte, what is missing, and the last"
        );
        assert!(pieces[..4].iter().all(|piece| *piece == line));
        assert_eq!(
            pieces[4],
            b"(output was not read in time: 6 lines are omitted here)\n"
        );
        assert_eq!(pieces[5], b"later\n");
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let ((go, told), (read, seen)) = (channel(), channel());
        drop::<Sender<()>>(go);
        let output = Output::start("test", Reader { go: told, read });

        for number in 0..1_000_u32 {
            output.write(number.to_string().into_bytes());
        }

        output.flush(Instant::now() + Duration::from_secs(30));

        assert!(
            seen.try_iter()
                .eq((0..1_000_u32).map(|number| number.to_string().into_bytes()))
        );
    }
}
