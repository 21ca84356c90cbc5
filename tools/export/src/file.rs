//! Files that get their name once they are complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use exports::Format;
use shared::repository::series::Series;

/// The path of a series' file. Different series have different paths: what is not plain in a name
/// is percent-encoded.
pub(crate) fn path_of(directory: &Path, series: &Series, format: Format) -> PathBuf {
    let file = format!("{}.{}", plain(series.symbol.as_str()), format.name());
    directory.join(plain(series.provider.as_str())).join(file)
}

/// The name with everything percent-encoded that a file system may understand otherwise, a leading
/// dot included.
fn plain(name: &str) -> String {
    name.bytes()
        .enumerate()
        .map(|(index, byte)| {
            let kept = byte.is_ascii_alphanumeric()
                || b"-_^=".contains(&byte)
                || (byte == b'.' && index > 0);
            if kept {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// A file that is being written. If it is dropped before it is complete, nothing of it is left.
#[derive(Debug)]
pub(crate) struct NewFile {
    out: BufWriter<File>,
    partial: PathBuf,
    path: PathBuf,
    complete: bool,
}

impl NewFile {
    /// Begins the file, under another name in the same directory.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            bail!("{} names no file", path.display());
        };
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;

        let partial = directory.join(format!(".{}.partial", name.to_string_lossy()));
        // What a killed run left is emptied once the lock shows that no other run writes it.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&partial)
            .with_context(|| format!("cannot write {}", partial.display()))?;
        file.try_lock()
            .with_context(|| format!("another export writes {}", partial.display()))?;
        file.set_len(0)
            .with_context(|| format!("cannot write {}", partial.display()))?;

        Ok(Self {
            out: BufWriter::new(file),
            partial,
            path,
            complete: false,
        })
    }

    /// Gives the file its name, once its bytes are on the disk.
    pub(crate) fn complete(mut self) -> anyhow::Result<PathBuf> {
        let place = || format!("cannot complete {}", self.path.display());
        self.out.flush().with_context(place)?;
        self.out.get_ref().sync_all().with_context(place)?;

        fs::rename(&self.partial, &self.path)
            .with_context(|| format!("cannot complete {}", self.path.display()))?;
        self.complete = true;

        // The name, too, must survive a loss of power.
        if let Some(directory) = self.path.parent() {
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .with_context(|| format!("cannot complete {}", self.path.display()))?;
        }
        Ok(self.path.clone())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.complete {
            let _left = fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn different_names_make_different_files_below_the_directory() {
        for (name, file) in [
            ("AAPL", "AAPL"),
            ("BRK.B", "BRK.B"),
            ("^GSPC", "^GSPC"),
            ("ES=F", "ES=F"),
            ("..", "%2E."),
            (".", "%2E"),
            ("a/b", "a%2Fb"),
            ("a\\b", "a%5Cb"),
            ("a%2Fb", "a%252Fb"),
            ("C:", "C%3A"),
        ] {
            assert_eq!(plain(name), file);
        }
    }
}
