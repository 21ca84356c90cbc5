//! A function that speaks the Runtime API itself, in order to break its rules, for tests of how the
//! host reacts.
//!
//! Payloads: `{"do": "hang"}` is answered, and then the process does nothing more; `"stop"` is
//! answered, and the process stops itself with SIGSTOP; `"trickle"` is answered with a body that
//! never ends; `"vanish"` is answered, and then the process requests an event, closes the
//! connection, creates the file `done` and does nothing more; `"spawn"` starts the shell script
//! `script`, answers and continues; `"spawn-and-exit"` starts it and ends; `"spawn-and-work"`
//! starts it and never answers. Any other request is answered with the process id. With
//! `STUBBORN_INIT=hang` the process never requests an event.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use serde_json::Value;

fn main() -> io::Result<()> {
    if variable("STUBBORN_INIT") == "hang" {
        nothing_more();
    }

    let api = variable("AWS_LAMBDA_RUNTIME_API");
    let api = api.trim_start_matches("http://");
    let (host, base) = api
        .split_once('/')
        .expect("the host gives each instance a path");
    let runtime = Runtime { host, base };

    loop {
        let (request_id, payload) = runtime.next()?;
        let text = |name: &str| payload[name].as_str().unwrap_or_default();
        let what = text("do");

        if what.starts_with("spawn") {
            // The child is not waited for, and outlives this process unless the host ends it.
            let _child = Command::new("sh").arg("-c").arg(text("script")).spawn()?;
            std::thread::sleep(Duration::from_millis(200));
        }

        match what {
            "spawn-and-exit" => std::process::exit(3),
            "spawn-and-work" => nothing_more(),
            "trickle" => runtime.trickle(&request_id)?,
            _ => runtime.answer(&request_id)?,
        }

        match what {
            "hang" => nothing_more(),
            "stop" => raise(Signal::SIGSTOP)?,
            "vanish" => {
                let question = runtime.ask("keep-alive")?;
                std::thread::sleep(Duration::from_millis(500));
                drop(question);
                std::fs::write(text("done"), "")?;
                nothing_more();
            }
            _ => {}
        }
    }
}

/// The Runtime API, with one connection for each request.
struct Runtime<'a> {
    host: &'a str,
    base: &'a str,
}

impl Runtime<'_> {
    fn ask(&self, connection: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.host)?;
        let Self { host, base } = self;

        write!(
            stream,
            "GET /{base}/2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: {host}\r\nconnection: {connection}\r\n\r\n"
        )?;

        Ok(stream)
    }

    fn next(&self) -> io::Result<(String, Value)> {
        let mut stream = BufReader::new(self.ask("close")?);
        let (mut request_id, mut line) = (String::new(), String::new());

        while stream.read_line(&mut line)? > 2 {
            if let Some(id) = line.strip_prefix("lambda-runtime-aws-request-id: ") {
                id.trim().clone_into(&mut request_id);
            }
            line.clear();
        }

        let mut payload = Vec::new();
        stream.read_to_end(&mut payload)?;

        Ok((
            request_id,
            serde_json::from_slice(&payload).unwrap_or_default(),
        ))
    }

    fn respond(&self, request_id: &str, length: usize, body: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.host)?;
        let Self { host, base } = self;

        write!(
            stream,
            "POST /{base}/2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\r\nhost: {host}\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;

        Ok(stream)
    }

    fn answer(&self, request_id: &str) -> io::Result<()> {
        let body = std::process::id().to_string();
        self.respond(request_id, body.len(), &body)?
            .read_to_end(&mut Vec::new())?;
        Ok(())
    }

    fn trickle(&self, request_id: &str) -> io::Result<()> {
        let _open = self.respond(request_id, 1_000, "\"")?;
        nothing_more();
    }
}

fn nothing_more() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "reading its environment is what this function is for"
)]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
