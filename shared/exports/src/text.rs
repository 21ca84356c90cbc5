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

/// Appends what comes before the first line.
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
mod tests {
    use super::*;

    fn point(price: &str, currency: Option<&str>) -> PricePoint {
        let price: Price = price.parse().unwrap();
        PricePoint {
            timestamp: "2024-03-20T10:30:00Z".parse().unwrap(),
            price,
            currency: currency.map(|currency| currency.parse().unwrap()),
            moving_average: price.into(),
            points: 1,
            polled_at: "2024-03-20T10:30:02.000114Z".parse().unwrap(),
        }
    }

    fn line(format: TextFormat, symbol: &str, point: &PricePoint) -> String {
        let (symbol, provider) = (symbol.parse().unwrap(), "replay".parse().unwrap());
        let series = SeriesName {
            symbol: &symbol,
            provider: &provider,
        };

        let mut out = Vec::new();
        append_line(format, series, point, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_csv_has_every_digit_and_no_more() {
        let wide = point("99999999999.999999999999999", Some("USD"));
        assert_eq!(
            line(TextFormat::Csv, "AAPL", &wide),
            "AAPL,replay,2024-03-20T10:30:00Z,99999999999.999999999999999,USD,99999999999.999999999999999,1,\
             2024-03-20T10:30:02.000114Z\n"
        );
        assert!(line(TextFormat::Csv, "AAPL", &point("0.70", None)).contains(",0.7,,0.7,1,"));
    }

    #[test]
    fn a_line_of_ndjson_is_a_point_of_the_json_answer() {
        assert_eq!(
            line(
                TextFormat::Ndjson,
                "A\"B",
                &point("99999999999.999999999999999", None)
            ),
            "{\"symbol\":\"A\\\"B\",\"provider\":\"replay\",\"timestamp\":\"2024-03-20T10:30:00Z\",\
             \"price\":99999999999.999999999999999,\"currency\":null,\
             \"moving_average\":99999999999.999999999999999,\"points\":1,\
             \"polled_at\":\"2024-03-20T10:30:02.000114Z\"}\n"
        );
    }

    #[test]
    fn names_are_quoted_where_csv_needs_it_and_are_never_formulas() {
        for (name, expected) in [
            ("BRK.B", "BRK.B"),
            ("^GSPC", "^GSPC"),
            ("ES=F", "ES=F"),
            ("A,B", "\"A,B\""),
            ("A\"B", "\"A\"\"B\""),
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-1", "'-1"),
            ("+1", "'+1"),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
        ] {
            assert_eq!(field(name), expected, "{name}");
        }
    }

    #[test]
    fn only_csv_has_a_header() {
        let (mut csv, mut ndjson) = (Vec::new(), Vec::new());
        append_header(TextFormat::Csv, &mut csv);
        append_header(TextFormat::Ndjson, &mut ndjson);

        let header = "symbol,provider,timestamp,price,currency,moving_average,points,polled_at\n";
        assert_eq!(csv, header.as_bytes());
        assert!(ndjson.is_empty());
    }
}
