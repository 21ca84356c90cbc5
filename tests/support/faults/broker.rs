//! A real Kafka that can be stopped, killed and started again.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use nix::sys::signal::Signal;

use crate::{binaries, postgres, processes};

/// The prefix of its data's folder in the temporary directory; this process's id follows.
const PREFIX: &str = "market-data-faults-kafka-";

/// How many brokers this process has started. The number gives each broker a folder of its own.
static BROKERS: AtomicU32 = AtomicU32::new(0);

/// A broker of this process. Its port and its data survive restarts.
#[derive(Debug)]
pub struct Broker {
    address: String,
    // Closing its standard input ends it, even if this process is killed.
    child: Child,
    data: PathBuf,
}

impl Broker {
    /// Starts a new broker. It needs Java, and Maven the first time.
    ///
    /// # Errors
    /// When it does not start; standard error then says what is missing.
    pub fn start() -> anyhow::Result<Self> {
        postgres::remove_leftovers(PREFIX);
        let number = BROKERS.fetch_add(1, Ordering::Relaxed);
        let data = std::env::temp_dir().join(format!("{PREFIX}{}-{number}", std::process::id()));

        let (address, child) = launch(&data)?;
        Ok(Self {
            address,
            child,
            data,
        })
    }

    /// The address for clients, as `host:port`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.address
    }

    /// Ends it with `signal` and starts it again, at the same address and on the same data.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn restart(&mut self, signal: Signal) -> anyhow::Result<()> {
        processes::signal(self.child.id(), signal);
        // Its port and its data are free only once it has ended.
        self.child.wait()?;

        let (address, child) = launch(&self.data)?;
        self.child = child;
        anyhow::ensure!(
            address == self.address,
            "Kafka came back at {address}, not at {}",
            self.address
        );
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
        let _removed = std::fs::remove_dir_all(&self.data);
    }
}

fn launch(data: &Path) -> anyhow::Result<(String, Child)> {
    let mut child = Command::new(binaries::workspace().join("tools/kafka/start"))
        .args(["--port", "0", "--until-stdin-closes", "--data-dir"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("running tools/kafka/start")?;

    let mut line = String::new();
    BufReader::new(child.stdout.take().context("its standard output")?).read_line(&mut line)?;

    let address = line
        .trim()
        .strip_prefix("ready ")
        .context("Kafka did not become ready")?;

    Ok((address.to_owned(), child))
}
