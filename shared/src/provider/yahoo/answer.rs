//! Reads Yahoo's answers. The body takes precedence over the status: the same error comes with
//! several statuses, and the outage page comes with 200.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry::Entry;
use crate::provider::web::{Fault, Received};
use crate::provider::{LimitScope, Refusal};

/// Yahoo's own status for clients that it blocks.
const REQUEST_DENIED: u16 = 999;

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

/// Reads a response, whose `body` was made readable. It has no entry for a symbol that Yahoo does
/// not know.
pub(super) fn read<'a>(received: &Received, body: &'a str) -> Result<Vec<Entry<'a>>, Fault> {
    let json = body.trim_start().starts_with('{');
    let denied = matches!(received.status, 429 | REQUEST_DENIED);
    if denied || (received.is_line() && body.contains("Too Many Requests")) {
        return Err(Fault::limited(received, LimitScope::Address));
    }
    if !json {
        return Err(not_json(received));
    }

    let document: Document<'_> = match serde_json::from_str(body) {
        Ok(document) => document,
        Err(_) => return Err(Fault::of_status_without_key(received).unwrap_or_else(Fault::shape)),
    };

    match document {
        Document {
            chart: Some(chart), ..
        } => Ok(chart
            .open(received)?
            .into_iter()
            .map(Entry::of_chart)
            .collect()),
        Document {
            spark: Some(spark), ..
        } => Ok(spark
            .open(received)?
            .into_iter()
            .map(Entry::of_spark)
            .collect()),
        Document {
            finance: Some(finance),
            ..
        } => finance.open(received).map(|_| Vec::new()),
        _ => Err(Fault::of_status_without_key(received).unwrap_or_else(Fault::shape)),
    }
}

/// The entries of a body whose response was read before.
pub(super) fn entries(body: &str) -> Option<Vec<Entry<'_>>> {
    let document: Document<'_> = serde_json::from_str(body).ok()?;
    let charts = document.chart.and_then(|chart| chart.result);
    let sparks = document.spark.and_then(|spark| spark.result);

    let charts = charts.unwrap_or_default().into_iter().map(Entry::of_chart);
    let sparks = sparks.unwrap_or_default().into_iter().map(Entry::of_spark);
    Some(charts.chain(sparks).collect())
}

/// The fault of a web page or a line of text: from Yahoo's edge servers, during an outage, or
/// because a redirection was not followed.
fn not_json(received: &Received) -> Fault {
    match Fault::of_status_without_key(received) {
        // Its data are objects: a list is none.
        None => Fault::shape(),
        Some(fault) => fault,
    }
}

impl<'a> Envelope<'a> {
    /// The entries, or the fault that the envelope reports.
    fn open(self, received: &Received) -> Result<Vec<&'a RawValue>, Fault> {
        let code = self.error.map(|error| error.code.unwrap_or_default());

        match code.as_deref() {
            Some("Not Found") => Ok(Vec::new()),
            Some("Too Many Requests") => Err(Fault::limited(received, LimitScope::Address)),
            Some("Unauthorized" | "Forbidden") => Err(Fault::NotAllowed(Refusal::Blocked)),
            Some(_) => Err(match Fault::of_status_without_key(received) {
                Some(outage @ Fault::Unavailable(_)) => outage,
                _ => Fault::reported(),
            }),
            None => match Fault::of_status_without_key(received) {
                Some(fault) => Err(fault),
                None => self
                    .result
                    .ok_or_else(|| Fault::Malformed("neither result nor error".to_owned())),
            },
        }
    }
}
