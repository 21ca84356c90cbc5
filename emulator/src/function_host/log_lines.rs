//! The functions' output. Each line goes to the emulator's standard error, after the function's
//! name.

use std::io::IsTerminal as _;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use crate::output;

/// The longest line. A longer one is broken.
const MAX_LINE_BYTES: u64 = 16 * 1024;

/// The functions' colours on a terminal, by their position in the template.
const COLOURS: [u8; 6] = [36, 35, 33, 32, 34, 31];

/// The text before each line of a function.
pub(super) fn prefix(binary: &str, index: usize) -> String {
    if std::io::stderr().is_terminal() {
        format!(
            "\x1b[{}m{binary:>9}\x1b[0m | ",
            COLOURS[index % COLOURS.len()]
        )
    } else {
        format!("{binary} | ")
    }
}

/// Copies lines until the writing end is closed.
pub(super) async fn forward(output: impl AsyncRead + Unpin, prefix: String) {
    let mut output = BufReader::new(output);
    let mut line = prefix.clone().into_bytes();

    loop {
        line.truncate(prefix.len());
        match (&mut output)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }

        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }

        // Never waits for a reader: the function must not notice one that has stopped.
        output::error().write(line.clone());
    }
}
