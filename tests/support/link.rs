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

/// How long a silent connection stays open. The writers' keepalive settings make the server end the
/// connection to a vanished host after about this time. The host of this link is alive and would
/// acknowledge keepalives for ever.
const KEEPALIVES_GIVE_UP: Duration = Duration::from_secs(30);
/// How long a connection stays open behind a proxy that answers keepalives: longer than any test.
const FOR_GOOD: Duration = Duration::from_secs(3_600);

/// A moment in a transaction's life, recognized by the server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The transaction has begun.
    Begun,
    /// The transaction is committed, and the answer is on its way to the client.
    Committed,
    /// A statement outside a transaction has changed a row, and the answer is on its way to the
    /// client.
    Updated,
}

impl Moment {
    /// The server's `CommandComplete` message.
    fn message(self) -> &'static [u8] {
        match self {
            Self::Begun => b"C\0\0\0\x0aBEGIN\0",
            Self::Committed => b"C\0\0\0\x0bCOMMIT\0",
            Self::Updated => b"C\0\0\0\x0dUPDATE 1\0",
        }
    }
}

/// The moment at which to cut a connection; none once it is cut.
type Cut = Arc<Mutex<Option<Moment>>>;

/// What a test has ordered for all connections of a link.
#[derive(Clone, Debug)]
struct Orders {
    stalled: watch::Receiver<bool>,
    /// Changes when existing connections must fall silent; the value is how long they then stay
    /// open.
    silenced: watch::Receiver<Duration>,
    cut_at: Cut,
}

/// Forwards connections to a server, as long as it is neither cut nor stalled.
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
    /// When the URL is not a Postgres URL, or no port is free.
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

    /// Breaks every connection and refuses new ones.
    pub async fn cut(&mut self) {
        self.passing.abort();
        let _aborted = (&mut self.passing).await;
    }

    /// Accepts connections again, at the same address.
    ///
    /// # Errors
    /// When another process has taken its port.
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

    /// Breaks the next connection whose transaction reaches `moment`, before the server's answer is
    /// delivered. Returns when that has happened.
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

    /// Silences all existing connections: they never forward anything again, and stay open until
    /// the server's keepalives would end them. New connections work.
    pub fn silence(&self) {
        self.silenced.send_replace(KEEPALIVES_GIVE_UP);
    }

    /// Silences all existing connections, and leaves them open, as behind a proxy that answers the
    /// server's keepalives itself. New connections work.
    pub fn silence_for_good(&self) {
        self.silenced.send_replace(FOR_GOOD);
    }

    /// Forwards nothing, and leaves connections open.
    pub fn stall(&self) {
        self.stalled.send_replace(true);
    }

    /// Forwards what has waited, and everything after it.
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
    // Dropped with this task, which ends every connection.
    let mut connections = tokio::task::JoinSet::new();

    while let Ok((client, _)) = listener.accept().await {
        let (server, mut orders) = (Arc::clone(&server), orders.clone());
        // A new connection is not silenced by an order that was given before it.
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

        // The stall comes first, because a connection may be silenced while it is stalled.
        let passes = orders.stalled.wait_for(|stalled| !stalled).await.is_ok();
        let silenced = orders.silenced.has_changed().unwrap_or(true);

        if silenced || !passes || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }

    // A silent connection does not even forward that one side has closed.
    if orders.silenced.has_changed().unwrap_or(false) {
        let open_for = *orders.silenced.borrow();
        tokio::time::sleep(open_for).await;
    }
}

/// Takes the moment to cut at if the server's answer contains its message.
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
