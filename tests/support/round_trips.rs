//! Counts the round trips of all connections to a Postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The first message of a session, after which each has a type.
const STARTUP: [u8; 4] = 196_608_u32.to_be_bytes();

/// Forwards connections to a server. The server answers each `Sync` and each simple query once
/// everything before it is done, and the client waits for that: a round trip.
#[derive(Debug)]
pub struct RoundTrips {
    url: String,
    made: Arc<AtomicUsize>,
    passing: JoinHandle<()>,
}

impl RoundTrips {
    /// Counts those to the Postgres of `url`.
    ///
    /// # Errors
    /// When the URL is not a Postgres URL, or no port is free.
    pub async fn to(url: &str) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (before, after) = url
            .split_once(&server)
            .context("the URL names host and port")?;
        let url = format!("{before}{}{after}", listener.local_addr()?);

        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let passing = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else {
                    continue;
                };
                let (mut answers, to_server) = server.into_split();
                let (from_client, mut to_client) = client.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to_client).await });
                tokio::spawn(count(from_client, to_server, Arc::clone(&counter)));
            }
        });

        Ok(Self { url, made, passing })
    }

    /// The URL of the counted way to the server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many were made so far.
    #[must_use]
    pub fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}

impl Drop for RoundTrips {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

/// Forwards the client's messages, and counts those that are answered. Ends with the connection.
async fn count(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    made: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    let mut has_begun = false;

    loop {
        let kind = if has_begun {
            Some(client.read_u8().await?)
        } else {
            None
        };
        let length = client.read_u32().await?;
        let rest = usize::try_from(length)?.checked_sub(4);
        let mut body = vec![0; rest.context("a message shorter than its length")?];
        client.read_exact(&mut body).await?;

        has_begun = has_begun || body.starts_with(&STARTUP);
        if matches!(kind, Some(b'S' | b'Q')) {
            made.fetch_add(1, Ordering::SeqCst);
        }

        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(length.to_be_bytes());
        message.append(&mut body);
        server.write_all(&message).await?;
    }
}
