//! CSV and NDJSON: a line for each point.

use std::borrow::Cow;

use chrono::SecondsFormat;
use serde::Serialize;
use shared::exact_decimal::ExactDecimal;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::repository::price_points::PricePoint;

use crate::{COLUMNS, Error, SeriesName};

/// A format of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// RFC 4180 with a header, and LF at the end of lines.
    Csv,
    /// A JSON object in each line.
    Ndjson,
}

/// Appends the header line, if the format has one.
pub fn append_header(format: TextFormat, out: &mut Vec<u8>) {
    if format == TextFormat::Csv {
        out.extend_from_slice(COLUMNS.join(",").as_bytes());
        out.push(b'\n');
    }
}

/// Appends the line of a point.
///
/// # Errors
/// When the point cannot be written as JSON, which does not happen to points that are stored.
pub fn append_line(
    format: TextFormat,
    series: SeriesName<'_>,
    point: &PricePoint,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    match format {
        TextFormat::Csv => out.extend_from_slice(csv_line(series, point).as_bytes()),
        TextFormat::Ndjson => {
            serde_json::to_writer(&mut *out, &Line::of(series, point))
                .map_err(|error| Error::Encoding(error.to_string()))?;
            out.push(b'\n');
        }
    }
    Ok(())
}

/// A line of NDJSON: a point as the JSON answer has it, with its series.
#[derive(Serialize)]
struct Line<'a> {
    symbol: &'a Symbol,
    provider: &'a ProviderName,
    timestamp: Timestamp,
    price: Price,
    currency: Option<&'a Currency>,
    moving_average: ExactDecimal,
    points: u8,
    polled_at: Timestamp,
}

impl<'a> Line<'a> {
    fn of(series: SeriesName<'a>, point: &'a PricePoint) -> Self {
        Self {
            symbol: series.symbol,
            provider: series.provider,
            timestamp: point.timestamp,
            price: point.price,
            currency: point.currency.as_ref(),
            moving_average: point.moving_average,
            points: point.points,
            polled_at: point.polled_at,
        }
    }
}

fn csv_line(series: SeriesName<'_>, point: &PricePoint) -> String {
    let currency = point.currency.as_ref().map_or("", Currency::as_str);

    format!(
        "{},{},{},{},{},{},{},{}\n",
        field(series.symbol.as_str()),
        field(series.provider.as_str()),
        time(point.timestamp),
        point.price,
        field(currency),
        point.moving_average,
        point.points,
        time(point.polled_at),
    )
}

/// A name as a field. Spreadsheets take a field that begins with one of these characters for a
/// formula, and names may come from foreign producers: an apostrophe makes it text. Numbers and
/// times never begin so.
fn field(name: &str) -> Cow<'_, str> {
    let is_formula = name.starts_with(['=', '+', '-', '@']);
    let is_quoted = name.contains([',', '"']);
    if !is_formula && !is_quoted {
        return Cow::Borrowed(name);
    }

    let apostrophe = if is_formula { "'" } else { "" };
    let quote = if is_quoted { "\"" } else { "" };
    let name = name.replace('"', "\"\"");
    Cow::Owned(format!("{quote}{apostrophe}{name}{quote}"))
}

fn time(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests;
