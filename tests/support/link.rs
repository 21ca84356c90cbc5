//! A link to a Postgres that a test can cut or stall, as networks and hosts do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::waiting;

/// How long a silent connection stays open. A host that vanished acknowledges nothing, and the keepalives that writers ask
/// for have the server end the connection about then; this link's own host would acknowledge them for ever.
const KEEPALIVES_GIVE_UP: Duration = Duration::from_secs(30);
/// Longer than any test.
const FOR_GOOD: Duration = Duration::from_secs(3_600);

/// A moment in a transaction's life, told by what the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has begun.
    Begun,
    /// It is committed, and the client is about to learn it.
    Committed,
    /// A statement by itself has changed a row, and the client is about to learn it.
    Updated,
}

impl Moment {
    /// The server's message "command complete".
    fn message(self) -> &'static [u8] {
        match self {
            Self::Begun => b"C\0\0\0\x0aBEGIN\0",
            Self::Committed => b"C\0\0\0\x0bCOMMIT\0",
            Self::Updated => b"C\0\0\0\x0dUPDATE 1\0",
        }
    }
}

/// The moment at which a connection is to be cut.
type Cut = Arc<Mutex<Option<Moment>>>;

/// What connections obey.
#[derive(Clone, Debug)]
struct Orders {
    stalled: watch::Receiver<bool>,
    /// Changes when connections made before are to fall silent; they stay open for so long.
    silenced: watch::Receiver<Duration>,
    cut_at: Cut,
}

/// Passes connections on to a server, for as long as it is neither cut nor stalled.
#[derive(Debug)]
pub struct Link {
    url: String,
    address: SocketAddr,
    server: Arc<str>,
    stalled: watch::Sender<bool>,
    silenced: watch::Sender<Duration>,
    cut_at: Cut,
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
        let (stalled, silenced, cut_at) = (
            watch::Sender::new(false),
            watch::Sender::new(Duration::ZERO),
            Cut::default(),
        );
        let orders = Orders {
            stalled: stalled.subscribe(),
            silenced: silenced.subscribe(),
            cut_at: Arc::clone(&cut_at),
        };
        let passing = tokio::spawn(pass_all(listener, Arc::clone(&server), orders));
        let (before, after) = url
            .split_once(&*server)
            .context("the URL names host and port")?;
        let url = format!("{before}{address}{after}");
        Ok(Self {
            url,
            address,
            server,
            stalled,
            silenced,
            cut_at,
            passing,
        })
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
        let orders = Orders {
            stalled: self.stalled.subscribe(),
            silenced: self.silenced.subscribe(),
            cut_at: Arc::clone(&self.cut_at),
        };
        self.passing = tokio::spawn(pass_all(listener, Arc::clone(&self.server), orders));
        Ok(())
    }

    /// Breaks the next connection whose transaction comes to `moment`, with the server's answer on the way and never
    /// delivered; returns when that has happened.
    pub async fn cut_at(&self, moment: Moment) {
        *self.cut_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
        let cut = async || {
            self.cut_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_none()
                .then_some(())
        };
        waiting::until("transaction to cut", Duration::from_secs(60), cut).await;
    }

    /// The connections that there are never pass anything on again, and stay open until the server's keepalives would end
    /// them; new ones work.
    pub fn silence(&self) {
        self.silenced.send_replace(KEEPALIVES_GIVE_UP);
    }

    /// The connections that there are never pass anything on again, and stay open, as behind a proxy that answers the
    /// server's keepalives itself; new ones work.
    pub fn silence_for_good(&self) {
        self.silenced.send_replace(FOR_GOOD);
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

async fn pass_all(listener: TcpListener, server: Arc<str>, orders: Orders) {
    // Ends with this task, and every connection with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (server, mut orders) = (Arc::clone(&server), orders.clone());
        orders.silenced.mark_unchanged();
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(&*server).await else {
                return;
            };
            let ((client_reads, client_writes), (server_reads, server_writes)) =
                (client.into_split(), server.into_split());
            tokio::select! {
                () = pass(client_reads, server_writes, orders.clone(), false) => {}
                () = pass(server_reads, client_writes, orders, true) => {}
            }
        });
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut orders: Orders,
    from_server: bool,
) {
    let mut bytes = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if from_server && is_time(&orders.cut_at, &bytes[..count]) {
            return;
        }
        let passes = orders.stalled.wait_for(|stalled| !stalled).await.is_ok();
        let silenced = orders.silenced.has_changed().unwrap_or(true);
        if silenced || !passes || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    // Of a silent connection not even the end is passed on.
    if orders.silenced.has_changed().unwrap_or(false) {
        let open_for = *orders.silenced.borrow();
        tokio::time::sleep(open_for).await;
    }
}

/// Whether the server tells of the moment to cut at, which is then over.
fn is_time(cut_at: &Cut, answer: &[u8]) -> bool {
    let told = |moment: &mut Moment| {
        let message = moment.message();
        answer
            .windows(message.len())
            .any(|window| window == message)
    };
    cut_at
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take_if(told)
        .is_some()
}
