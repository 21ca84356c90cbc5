//! Reads Yahoo's answers. The body takes precedence over the status: the same error comes with
//! several statuses, and the outage page comes with 200.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry::Entry;

/// Yahoo's own status for clients that it blocks.
const REQUEST_DENIED: u16 = 999;

/// Why a request gave no quotes at all; the texts are safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    RateLimited { retry_after: Option<Duration> },
    Denied,
    TimedOut,
    Unavailable(String),
    Malformed(String),
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    chart: Option<Envelope<'a>>,
    #[serde(borrow)]
    spark: Option<Envelope<'a>>,
    /// The key of errors that do not belong to one endpoint.
    #[serde(borrow)]
    finance: Option<Envelope<'a>>,
}

/// The result of one endpoint. Its entries stay text, so that one that cannot be read does not
/// affect the others.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    result: Option<Vec<&'a RawValue>>,
    error: Option<EnvelopeError>,
}

#[derive(Deserialize)]
struct EnvelopeError {
    code: Option<String>,
}

/// Reads a response. It has no entry for a symbol that Yahoo does not know.
pub(super) fn read(status: StatusCode, body: &str) -> Result<Vec<Entry<'_>>, Fault> {
    let json = body.trim_start().starts_with('{');
    let denied = status == StatusCode::TOO_MANY_REQUESTS || status.as_u16() == REQUEST_DENIED;
    if denied || (!json && body.contains("Too Many Requests")) {
        return Err(Fault::RateLimited { retry_after: None });
    }
    if !json {
        return Err(not_json(status));
    }

    let document: Document<'_> = match serde_json::from_str(body) {
        Ok(document) => document,
        Err(_) if status.is_success() => {
            return Err(Fault::Malformed("JSON of another shape".to_owned()));
        }
        Err(_) => {
            return Err(Fault::Unavailable(format!(
                "HTTP status {}",
                status.as_u16()
            )));
        }
    };

    match document {
        Document {
            chart: Some(chart), ..
        } => Ok(chart
            .open(status)?
            .into_iter()
            .map(Entry::of_chart)
            .collect()),
        Document {
            spark: Some(spark), ..
        } => Ok(spark
            .open(status)?
            .into_iter()
            .map(Entry::of_spark)
            .collect()),
        Document {
            finance: Some(finance),
            ..
        } => finance.open(status).map(|_| Vec::new()),
        _ if status.is_success() => Err(Fault::Malformed("JSON of another shape".to_owned())),
        _ => Err(Fault::Unavailable(format!(
            "HTTP status {}",
            status.as_u16()
        ))),
    }
}

/// The fault of a web page or a line of text: from Yahoo's edge servers, during an outage, or
/// because a redirection was not followed.
fn not_json(status: StatusCode) -> Fault {
    match status.as_u16() {
        200..=299 => Fault::Unavailable("a web page instead of data".to_owned()),
        300..=399 => Fault::Unavailable("it sends us elsewhere".to_owned()),
        code => Fault::Unavailable(format!("HTTP status {code}")),
    }
}

impl<'a> Envelope<'a> {
    /// The entries, or the fault that the envelope reports.
    fn open(self, status: StatusCode) -> Result<Vec<&'a RawValue>, Fault> {
        let code = self.error.map(|error| error.code.unwrap_or_default());

        match code.as_deref() {
            Some("Not Found") => Ok(Vec::new()),
            Some("Too Many Requests") => Err(Fault::RateLimited { retry_after: None }),
            Some("Unauthorized" | "Forbidden") => Err(Fault::Denied),
            Some(_) => Err(Fault::Unavailable(format!(
                "an error of its own, HTTP status {}",
                status.as_u16()
            ))),
            None if !status.is_success() => Err(Fault::Unavailable(format!(
                "HTTP status {}",
                status.as_u16()
            ))),
            None => self
                .result
                .ok_or_else(|| Fault::Malformed("neither result nor error".to_owned())),
        }
    }
}
