//! The ports, opened before anything is started, so that one that is taken is reported at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::parts::Parts;
use crate::Unusable;
use crate::cli::StackArguments;
use crate::data_directory::DataDirectory;

/// The open ports of the parts that this emulator runs.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) gateway: Option<TcpListener>,
    pub(super) scheduler: Option<TcpListener>,
    pub(super) invoke_api: TcpListener,
}

impl Listeners {
    pub(super) async fn open(
        arguments: &StackArguments,
        parts: &Parts,
        data: &DataDirectory,
    ) -> anyhow::Result<Self> {
        let mut remembered = Remembered::read(data.path());

        let gateway = match parts.gateway {
            true => Some(
                listen(
                    SocketAddr::new(arguments.listen, arguments.port),
                    "--listen and --port",
                )
                .await?,
            ),
            false => None,
        };

        let scheduler = match parts.scheduler {
            true => Some(
                remembered
                    .listen(
                        "scheduler",
                        arguments.scheduler_listen,
                        "--scheduler-listen",
                    )
                    .await?,
            ),
            false => None,
        };

        let invoke_api = remembered
            .listen("invoke-api", arguments.invoke_listen, "--invoke-listen")
            .await?;

        remembered
            .write()
            .context("cannot note the ports in the data directory")?;

        Ok(Self {
            gateway,
            scheduler,
            invoke_api,
        })
    }
}

/// The ports of the last start, so that addresses stay the same.
#[derive(Debug)]
struct Remembered {
    file: PathBuf,
    ports: BTreeMap<String, u16>,
}

impl Remembered {
    fn read(data: &Path) -> Self {
        let file = data.join("ports.json");
        let ports = std::fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());

        Self {
            file,
            ports: ports.unwrap_or_default(),
        }
    }

    /// Listens at `address`. If it names no port, takes the port of the last start, or any if that
    /// one is taken.
    async fn listen(
        &mut self,
        part: &str,
        address: SocketAddr,
        flags: &str,
    ) -> anyhow::Result<TcpListener> {
        let last = self.ports.get(part).filter(|_| address.port() == 0);

        let listener = match last {
            Some(port) => TcpListener::bind(SocketAddr::new(address.ip(), *port))
                .await
                .ok(),
            None => None,
        };

        let listener = match listener {
            Some(listener) => listener,
            None => listen(address, flags).await?,
        };

        self.ports
            .insert(part.to_owned(), listener.local_addr()?.port());
        Ok(listener)
    }

    fn write(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(
            &self.file,
            serde_json::to_vec(&self.ports)?,
        )?)
    }
}

async fn listen(address: SocketAddr, flags: &str) -> Result<TcpListener, Unusable> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                let flag = flags.rsplit(' ').next().unwrap_or(flags);
                Unusable(format!(
                    "port {} is taken; choose another with {flag}",
                    address.port()
                ))
            }
            _ => Unusable(format!(
                "cannot listen on {address}: {error}; choose another with {flags}"
            )),
        })
}

/// The URL at which this machine reaches a listener at `address`, which may be the unspecified
/// address.
pub(super) fn url_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{}", v6.port()),
        address => format!("http://{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_flag_that_helps() {
        let taken = TcpListener::bind(ANY).await.unwrap();
        let address = taken.local_addr().unwrap();

        let message = listen(address, "--listen and --port")
            .await
            .unwrap_err()
            .to_string();

        assert_eq!(
            message,
            format!(
                "port {} is taken; choose another with --port",
                address.port()
            )
        );
    }

    #[tokio::test]
    async fn a_part_keeps_the_port_of_its_last_start_unless_that_is_taken() {
        let data = tempfile::tempdir().unwrap();
        let port = async || {
            let mut remembered = Remembered::read(data.path());
            let listener = remembered
                .listen("scheduler", ANY, "--scheduler-listen")
                .await
                .unwrap();
            remembered.write().unwrap();
            (listener.local_addr().unwrap().port(), listener)
        };

        let (first, listener) = port().await;
        drop(listener);

        let (second, _still_open) = port().await;
        assert_eq!(first, second);

        let (third, _) = port().await;
        assert_ne!(third, second);
    }

    #[test]
    fn an_address_that_stands_for_all_is_shown_as_one_that_works() {
        assert_eq!(
            url_of(SocketAddr::from(([0, 0, 0, 0], 8080))),
            "http://127.0.0.1:8080"
        );
        assert_eq!(
            url_of(SocketAddr::from(([10, 0, 0, 1], 80))),
            "http://10.0.0.1:80"
        );
    }
}
