//! A server that fails in every way that HTTP allows.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::Utc;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with each request.
#[derive(Clone, Debug)]
pub(super) enum Play {
    /// Answers with a status, headers and a body.
    Answer(u16, &'static str, &'static str),
    /// Answers with a status and a date of `Retry-After` that is this far ahead.
    RetryAfterDate(u16, Duration),
    /// Resets the connection in the middle of the body.
    Reset,
    /// Closes the connection in the middle of the body, which this header delimits.
    Cut(&'static str),
    /// Closes the connection without an answer.
    Close,
    /// Answers in another protocol.
    Garbage,
    /// Never answers.
    Silence,
    /// Sends a byte from time to time, without an end.
    Drip,
    /// The same within the head of the answer.
    DripHead,
    /// Sends this many bytes.
    Long(usize),
    /// Sends these bytes as a compressed body.
    Compressed(Vec<u8>),
    /// Sends elsewhere: to a path, or to another server.
    Redirect(String),
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: String,
    requests: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(super) async fn playing(play: Play) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));

        let counted = Arc::clone(&requests);
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, play.clone(), Arc::clone(&counted)));
            }
        });

        Self {
            address,
            requests,
            accepting,
        }
    }

    /// Stops listening.
    pub(super) async fn stop(&self) {
        self.accepting.abort();
        while !self.accepting.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    /// How many requests there were so far.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Serves one request. A client that goes away ends it.
async fn serve(mut connection: TcpStream, play: Play, requests: Arc<AtomicUsize>) {
    if read_head(&mut connection).await.is_none() {
        return;
    }

    requests.fetch_add(1, Ordering::SeqCst);
    let _gone = answer(&mut connection, play).await;
}

async fn answer(connection: &mut TcpStream, play: Play) -> std::io::Result<()> {
    match play {
        Play::Reset => return reset(connection).await,
        Play::Silence => _ = connection.read_u8().await?,
        Play::Drip => {
            connection.write_all(json(1_000_000, "").as_bytes()).await?;
            drip(connection, b" ").await?;
        }
        Play::DripHead => {
            connection.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            drip(connection, b"X-More: 1\r\n").await?;
        }
        Play::Long(bytes) => {
            connection.write_all(json(bytes, "").as_bytes()).await?;
            send_spaces(connection, bytes).await?;
        }
        Play::Compressed(bytes) => {
            let head = json(bytes.len(), "Content-Encoding: gzip\r\n");
            connection.write_all(head.as_bytes()).await?;
            connection.write_all(&bytes).await?;
        }
        at_once => connection.write_all(text_of(&at_once).as_bytes()).await?,
    }

    connection.shutdown().await
}

/// The head of an answer in JSON, with `more` headers.
fn json(length: usize, more: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n{more}\r\n"
    )
}

/// What is sent at once.
fn text_of(play: &Play) -> String {
    let of_length = |status: u16, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    };

    match play {
        Play::Answer(status, headers, body) => of_length(*status, headers, body),
        Play::RetryAfterDate(status, ahead) => {
            let date = (Utc::now() + *ahead).format("%a, %d %b %Y %H:%M:%S GMT");
            of_length(*status, &format!("Retry-After: {date}\r\n"), "")
        }
        Play::Redirect(location) => of_length(302, &format!("Location: {location}\r\n"), ""),
        Play::Cut(length) => format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n7\r\n[{{\"c\":7"),
        Play::Garbage => "SSH-2.0-server\r\n".to_owned(),
        _ => String::new(),
    }
}

/// Resets the connection after a part of the body.
async fn reset(connection: &mut TcpStream) -> std::io::Result<()> {
    let head = json(1_000, "");
    connection
        .write_all(format!("{head}{{\"c\":7").as_bytes())
        .await?;
    connection.flush().await?;

    // Without this, the client could get the reset before the bytes.
    tokio::time::sleep(Duration::from_millis(20)).await;
    connection.set_zero_linger()
}

async fn send_spaces(connection: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let chunk = vec![b' '; 65_536];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(chunk.len());
        connection.write_all(&chunk[..part]).await?;
        left -= part;
    }
    Ok(())
}

/// Sends `bytes` again and again, until the client goes away.
async fn drip(connection: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        connection.write_all(bytes).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A server that keeps its connections.
#[derive(Debug)]
pub(super) struct KeptAlive {
    pub(super) address: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl KeptAlive {
    /// A server that answers every request with this body.
    pub(super) async fn answering(body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            connections: Arc::default(),
            requests: Arc::default(),
        };

        let counted = (
            Arc::clone(&server.connections),
            Arc::clone(&server.requests),
        );
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                counted.0.fetch_add(1, Ordering::SeqCst);
                let requests = Arc::clone(&counted.1);

                tokio::spawn(async move {
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    while read_head(&mut connection).await.is_some() {
                        requests.fetch_add(1, Ordering::SeqCst);
                        connection.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        server
    }

    /// How many connections it accepted.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests there were so far.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads up to the end of a request's head; `None` if the client has gone.
async fn read_head(connection: &mut TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    Some(())
}

/// This many zeros, compressed.
pub(super) fn compressed(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![b'0'; bytes]).unwrap();
    encoder.finish().unwrap()
}
