//! The history as a file. Its bytes stay the same while points arrive, because readers ask for a
//! file in several requests: with a cursor for ever, without one while the requests follow each
//! other.

use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use exports::{Format, PointFile, SeriesName, TextFormat, append_header, append_line};
use shared::market::Timestamp;
use shared::repository::price_points::PricePoint;
use shared::repository::series::Series;

use super::form::Form;
use super::request::Found;
use crate::cursor;
use crate::paging::{links, with_cursor};
use crate::problem::Problem;

/// Most points in one file.
pub(super) const MAX_POINTS: usize = 50_000;
/// Most bytes of a file. Lambda's answer has at most 6 MB, a third more than the bytes that it
/// carries in Base64. No Parquet file of [`MAX_POINTS`] reaches it.
const MAX_BYTES: usize = 4_400_000;

/// Answers with the file.
pub(super) fn answer(
    uri: &Uri,
    found: &Found,
    limit: usize,
    format: Format,
) -> Result<Response, Problem> {
    let Found {
        series,
        points,
        held,
    } = found;
    let page = &points[..points.len().min(limit)];

    let (bytes, count) = match format {
        Format::Text(format) => lines(format, series, page),
        Format::Parquet => columns(series, page),
    }
    .map_err(|error| {
        tracing::error!(%error, "points cannot be written as a file");
        Problem::internal()
    })?;

    let at = |time: Timestamp| cursor::encode(time.timestamp_micros(), &series.provider);
    let more = count < points.len();
    let next_cursor = page[..count]
        .last()
        .filter(|_| more)
        .map(|last| at(last.timestamp));

    let mut headers = links(uri, next_cursor.as_deref());
    headers.insert(header::CONTENT_TYPE, Form::File(format).content_type());
    headers.insert(header::CONTENT_DISPOSITION, disposition(series, format));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));

    // The same file, where newer points will not change it later either.
    let fixed = held.map(|end| with_cursor(uri, &at(end)));
    if let Some(Ok(fixed)) = fixed.map(HeaderValue::try_from) {
        headers.insert(header::CONTENT_LOCATION, fixed);
    }
    Ok((headers, bytes).into_response())
}

/// The file's bytes, and the number of points in them.
type File = Result<(Vec<u8>, usize), exports::Error>;

/// As many lines as an answer can carry.
fn lines(format: TextFormat, series: &Series, points: &[PricePoint]) -> File {
    let mut bytes = Vec::new();
    append_header(format, &mut bytes);

    for (count, point) in points.iter().enumerate() {
        let complete = bytes.len();
        append_line(format, name(series), point, &mut bytes)?;

        if bytes.len() > MAX_BYTES {
            bytes.truncate(complete);
            return Ok((bytes, count));
        }
    }
    Ok((bytes, points.len()))
}

fn columns(series: &Series, points: &[PricePoint]) -> File {
    let mut file = PointFile::begin(Format::Parquet, Vec::new())?;
    file.write(name(series), points)?;
    Ok((file.finish()?, points.len()))
}

fn name(series: &Series) -> SeriesName<'_> {
    SeriesName {
        symbol: &series.symbol,
        provider: &series.provider,
    }
}

/// A browser saves the file under its series' name.
fn disposition(series: &Series, format: Format) -> HeaderValue {
    let plain = |name: &str| -> String {
        let kept = |symbol: char| symbol.is_ascii_alphanumeric() || "-_.^".contains(symbol);
        name.chars()
            .map(|symbol| if kept(symbol) { symbol } else { '_' })
            .collect()
    };

    let (symbol, provider) = (
        plain(series.symbol.as_str()),
        plain(series.provider.as_str()),
    );
    let value = format!(
        "attachment; filename=\"{symbol}-{provider}.{}\"",
        format.name()
    );
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests;
