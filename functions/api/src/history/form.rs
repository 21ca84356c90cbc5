//! The form of an answer: the one that `format` names, or the one that `Accept` prefers (RFC 9110,
//! section 12).

use axum::http::{HeaderMap, HeaderValue, header};
use exports::{Format, TextFormat};

use crate::problem::Problem;

/// The media type of JSON.
const JSON: &str = "application/json";

/// The media type of Parquet.
pub(crate) const PARQUET: &str = "application/vnd.apache.parquet";

/// A form of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A page as JSON, with a cursor.
    Json,
    /// A file.
    File(Format),
}

impl Form {
    /// All forms; the first of those that a client likes equally is chosen.
    const ALL: [Self; 4] = [
        Self::Json,
        Self::File(Format::ALL[0]),
        Self::File(Format::ALL[1]),
        Self::File(Format::ALL[2]),
    ];

    /// The name in `format`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::File(format) => format.name(),
        }
    }

    /// Reads the parameter `format`.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|form| form.name() == name);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::name).join(", ")))
    }

    /// The form that the client prefers by `Accept`; JSON if it says nothing.
    pub(super) fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        let accept: Vec<&str> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let ranges: Vec<MediaRange<'_>> = accept
            .iter()
            .flat_map(|value| value.split(','))
            .filter_map(MediaRange::read)
            .collect();

        if ranges.is_empty() {
            return Ok(Self::Json);
        }

        // The first of the best: `max_by_key` returns the last.
        let liked = Self::ALL.into_iter().rev().filter_map(|form| {
            let weight = form.weight(&ranges)?;
            Some((form, weight))
        });
        liked
            .max_by_key(|(_, weight)| *weight)
            .map(|(form, _)| form)
            .ok_or_else(|| {
                let offered =
                    Self::ALL.map(|form| format!("{} ({})", form.media_types()[0], form.name()));
                Problem::not_acceptable(&offered.join(", "))
            })
    }

    /// How much the client likes the form, and how specifically it says so; `None` if it does not
    /// accept it. The most specific range decides.
    fn weight(self, ranges: &[MediaRange<'_>]) -> Option<(u16, u8)> {
        let matching = ranges.iter().filter_map(|range| {
            let specificity = self
                .media_types()
                .iter()
                .filter_map(|of| range.matches(of))
                .max()?;
            Some((specificity, range.weight))
        });

        let (specificity, weight) = matching.max()?;
        (weight > 0).then_some((weight, specificity))
    }

    /// The media types by which clients name the form; the first one is that of the answer.
    fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Json => &[JSON],
            Self::File(Format::Text(TextFormat::Csv)) => &["text/csv"],
            Self::File(Format::Text(TextFormat::Ndjson)) => &[
                "application/x-ndjson",
                "application/ndjson",
                "application/jsonl",
                "application/x-jsonlines",
            ],
            Self::File(Format::Parquet) => {
                &[PARQUET, "application/x-parquet", "application/parquet"]
            }
        }
    }

    /// `Content-Type` of the answer.
    pub(super) fn content_type(self) -> HeaderValue {
        let media_type = self.media_types().first().copied().unwrap_or(JSON);
        HeaderValue::from_static(match self {
            Self::File(Format::Text(TextFormat::Csv)) => "text/csv; charset=utf-8; header=present",
            _ => media_type,
        })
    }
}

/// A member of `Accept`.
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// The weight `q` in thousandths.
    weight: u16,
}

impl<'a> MediaRange<'a> {
    /// Reads a member; `None` if it is malformed, which is then ignored.
    fn read(member: &'a str) -> Option<Self> {
        let mut parts = member.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        if kind.is_empty() || subtype.is_empty() {
            return None;
        }

        let weight = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        Some(Self {
            kind,
            subtype,
            weight: weight.map_or(Some(1_000), |(_, weight)| thousandths(weight.trim()))?,
        })
    }

    /// How specifically the range names the media type; `None` if it does not.
    fn matches(&self, media_type: &str) -> Option<u8> {
        let (kind, subtype) = media_type.split_once('/')?;
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (own, "*") if own.eq_ignore_ascii_case(kind) => Some(1),
            (own, other) => {
                (own.eq_ignore_ascii_case(kind) && other.eq_ignore_ascii_case(subtype)).then_some(2)
            }
        }
    }
}

/// Reads a weight from 0 to 1 with at most three digits after the point.
fn thousandths(text: &str) -> Option<u16> {
    let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && fraction.len() <= 3;
    if !digits || !["0", "1"].contains(&integer) {
        return None;
    }

    let weight = format!("{integer}{fraction:0<3}").parse().ok()?;
    (weight <= 1_000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &[&str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, value.parse().unwrap());
        }
        Form::accepted(&headers).ok().map(Form::name)
    }

    #[test]
    fn accept_chooses_by_weight_and_then_by_how_specific_it_is() {
        for (accept, form) in [
            ("*/*", "json"),
            ("application/json", "json"),
            ("text/csv", "csv"),
            ("TEXT/CSV; charset=utf-8", "csv"),
            ("text/*", "csv"),
            ("application/*", "json"),
            ("application/x-ndjson", "ndjson"),
            ("application/jsonl", "ndjson"),
            ("application/vnd.apache.parquet", "parquet"),
            ("application/json, text/csv", "json"),
            ("application/json;q=0.8, text/csv", "csv"),
            ("application/json;q=0.8, text/csv;q=0.801", "csv"),
            ("text/csv, */*", "csv"),
            ("text/csv;q=0.5, */*", "json"),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                "json",
            ),
            ("application/json;q=0, */*", "csv"),
            ("nonsense, text/csv", "csv"),
            ("nonsense", "json"),
            ("", "json"),
            ("text/csv;q=2, application/json;q=0.1", "json"),
        ] {
            assert_eq!(accepted(&[accept]), Some(form), "{accept}");
        }

        assert_eq!(accepted(&[]), Some("json"));
        assert_eq!(
            accepted(&["application/json;q=0.1", "text/csv"]),
            Some("csv")
        );
    }

    #[test]
    fn what_none_of_the_forms_satisfies_is_refused() {
        for accept in [
            "text/html",
            "image/*",
            "application/json;q=0",
            "*/*;q=0",
            "text/csv;q=0.000",
        ] {
            assert_eq!(accepted(&[accept]), None, "{accept}");
        }
    }

    #[test]
    fn a_form_is_named_exactly() {
        assert_eq!(Form::named("json"), Ok(Form::Json));
        assert_eq!(Form::named("csv").map(Form::name), Ok("csv"));
        for name in ["", "CSV", "csv ", "xlsx"] {
            assert_eq!(
                Form::named(name).unwrap_err(),
                "must be one of json, csv, ndjson, parquet"
            );
        }
    }
}
