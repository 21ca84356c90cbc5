//! A link to a Postgres that a test can cut or stall, as networks and hosts do.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on to a server, for as long as it is neither cut nor stalled.
#[derive(Debug)]
pub struct Link {
    url: String,
    address: SocketAddr,
    server: Arc<str>,
    stalled: watch::Sender<bool>,
    passing: JoinHandle<()>,
}

impl Link {
    /// A link to the Postgres of `url`.
    ///
    /// # Errors
    /// When the URL is none of Postgres's, or no port is free.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        let server: Arc<str> = format!("{}:{}", options.get_host(), options.get_port()).into();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stalled = watch::Sender::new(false);
        let passing = tokio::spawn(pass_all(listener, Arc::clone(&server), stalled.subscribe()));
        let (before, after) = url.split_once(&*server).context("the URL names host and port")?;
        Ok(Self { url: format!("{before}{address}{after}"), address, server, stalled, passing })
    }

    /// The URL of the Postgres through this link.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Breaks every connection, and refuses new ones.
    pub async fn cut(&mut self) {
        self.passing.abort();
        let _aborted = (&mut self.passing).await;
    }

    /// Takes connections again.
    ///
    /// # Errors
    /// When something else has taken its port.
    pub async fn mend(&mut self) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.passing = tokio::spawn(pass_all(listener, Arc::clone(&self.server), self.stalled.subscribe()));
        Ok(())
    }

    /// Passes nothing on, and leaves connections open.
    pub fn stall(&self) {
        self.stalled.send_replace(true);
    }

    /// Passes on what waited.
    pub fn go_on(&self) {
        self.stalled.send_replace(false);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

async fn pass_all(listener: TcpListener, server: Arc<str>, stalled: watch::Receiver<bool>) {
    // Ends with this task, and every connection with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (server, stalled) = (Arc::clone(&server), stalled.clone());
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(&*server).await else { return };
            let ((client_reads, client_writes), (server_reads, server_writes)) =
                (client.into_split(), server.into_split());
            tokio::select! {
                () = pass(client_reads, server_writes, stalled.clone()) => {}
                () = pass(server_reads, client_writes, stalled) => {}
            }
        });
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut stalled: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if stalled.wait_for(|stalled| !stalled).await.is_err() || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
}
