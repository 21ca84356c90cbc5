//! Query parameters. They are read one by one, so that the answer names every fault, not only the
//! first.
//!
//! A parameter that the contract does not list, or that is given twice, is a fault. Otherwise a
//! misspelt name would silently mean the default. The parameter `_` is ignored: spreadsheets append
//! it with a new value, so that no cache answers them.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::extract::Query;
use axum::http::Uri;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use shared::market::{Timestamp, to_microseconds};
use shared::repository::price_points::Range;
use utoipa::IntoParams;

use crate::problem::{Fault, Problem};
use crate::schema::WholeNumberOr;

/// Most items of a page if the request gives no `limit`.
pub(crate) const DEFAULT_LIMIT: usize = 100;
/// Greatest `limit`.
pub(crate) const MAX_LIMIT: usize = 1_000;

/// `limit` in the contract.
pub(crate) type PageLimit = WholeNumberOr<DEFAULT_LIMIT, 1, MAX_LIMIT>;

/// The parameters of every paged list.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handlers read"
)]
pub(crate) struct PageParameters {
    /// Most items in one answer.
    #[param(inline, required = false, value_type = PageLimit)]
    limit: usize,
    /// `next_cursor` of the previous page.
    #[param(required = false)]
    cursor: String,
}

/// The parameter that is ignored.
const IGNORED: &str = "_";

/// The parameters of one request, and the faults found so far.
#[derive(Debug)]
pub(crate) struct QueryParameters {
    values: BTreeMap<String, String>,
    /// The parameters that cannot be decoded.
    broken: Vec<String>,
    pub(crate) faults: Vec<Fault>,
}

impl QueryParameters {
    /// Reads the parameters that `P` documents; any others are faults.
    pub(crate) fn read<P: IntoParams>(uri: &Uri) -> Self {
        let known: Vec<String> = P::into_params(|| None)
            .into_iter()
            .map(|parameter| parameter.name)
            .collect();
        let mut query = Self {
            values: BTreeMap::new(),
            broken: Vec::new(),
            faults: Vec::new(),
        };

        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            query.faults.push(Fault {
                location: "query".to_owned(),
                message: "cannot be read".to_owned(),
            });
            return query;
        };

        let raw = uri.query().unwrap_or_default().split('&');
        let raw = raw.filter(|pair| !pair.is_empty());

        for ((name, value), raw) in pairs.into_iter().zip(raw) {
            if name == IGNORED {
                continue;
            }

            if !known.contains(&name) {
                query.fault(
                    &name,
                    format_args!("is not a parameter here; these are: {}", known.join(", ")),
                );
            } else if !is_encoded_text(raw) {
                query.fault(&name, "is not percent-encoded UTF-8 (write % as %25)");
                query.values.insert(name.clone(), value);
                query.broken.push(name);
            } else if let Some(first) = query.values.insert(name.clone(), value) {
                query.fault(&name, "is given twice");
                query.values.insert(name, first);
            }
        }

        query
    }

    /// Records a fault of the parameter `name`.
    pub(crate) fn fault(&mut self, name: &str, message: impl Display) {
        self.faults.push(Fault {
            location: format!("query.{name}"),
            message: message.to_string(),
        });
    }

    /// The parameter's text, if it was given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Reads a parameter with `parse`. Returns `None` if it is absent, or after recording its
    /// fault.
    pub(crate) fn optional<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        // Its fault is recorded already.
        if self.broken.iter().any(|broken| broken == name) {
            return None;
        }

        match parse(self.text(name)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(name, message);
                None
            }
        }
    }

    /// Like [`Self::optional`], but its absence is a fault.
    pub(crate) fn required<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.text(name).is_none() {
            self.fault(name, "is required");
        }

        self.optional(name, parse)
    }

    /// The times from `from` to `to`, either of which may be absent.
    pub(crate) fn range(&mut self) -> Range {
        let range = Range {
            from: self.optional("from", time),
            to: self.optional("to", time),
        };

        if let (Some(from), Some(to)) = (range.from, range.to)
            && from >= to
        {
            self.fault("to", "must be later than from");
        }
        range
    }

    /// The page size: `limit`, or its default.
    pub(crate) fn limit(&mut self) -> usize {
        self.optional("limit", |text| whole_number(text, 1, MAX_LIMIT))
            .unwrap_or(DEFAULT_LIMIT)
    }

    /// Returns `required`, or the problem that lists all recorded faults.
    pub(crate) fn finish<T>(self, required: Option<T>) -> Result<T, Problem> {
        match required {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.faults)),
        }
    }
}

/// Whether every `%` is followed by the two digits of a byte, and these bytes are UTF-8.
fn is_encoded_text(raw: &str) -> bool {
    let whole = raw.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });

    whole && percent_decode_str(raw).decode_utf8().is_ok()
}

/// Reads a whole number within bounds, written in plain digits.
pub(crate) fn whole_number<T>(text: &str, least: T, most: T) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + Display + Copy,
{
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());

    match text.parse::<T>() {
        Ok(number) if digits && number >= least && number <= most => Ok(number),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

/// Reads `true` or `false`.
pub(crate) fn truth(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "must be true or false")
}

/// Reads an RFC 3339 time with its zone, in the precision of Postgres.
pub(crate) fn time(text: &str) -> Result<Timestamp, &'static str> {
    let time = DateTime::parse_from_rfc3339(text).map_err(
        |_| "must be an RFC 3339 time with its zone, such as 2024-03-20T10:30:00Z (write + as %2B)",
    )?;
    Ok(to_microseconds(time.with_timezone(&Utc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(IntoParams)]
    #[into_params(names("limit", "from"))]
    struct Known(
        #[expect(dead_code, reason = "names only")] u32,
        #[expect(dead_code, reason = "names only")] String,
    );

    fn faults(query: &str) -> Vec<String> {
        let uri = format!("/?{query}").parse().unwrap();
        let mut parameters = QueryParameters::read::<Known>(&uri);
        parameters.limit();
        parameters.optional("from", time);

        parameters
            .faults
            .into_iter()
            .map(|fault| fault.location)
            .collect()
    }

    #[test]
    fn every_fault_is_found_not_only_the_first() {
        assert_eq!(
            faults("limit=0&from=yesterday&form=1&limit=3"),
            ["query.form", "query.limit", "query.limit", "query.from"]
        );
    }

    #[test]
    fn whole_numbers_are_plain_digits_within_bounds() {
        for text in [
            "",
            "0",
            "+5",
            "-1",
            "1.0",
            "1e2",
            "%205",
            "1001",
            "99999999999999999999999",
        ] {
            assert_eq!(faults(&format!("limit={text}")).len(), 1, "{text:?}");
        }
        assert!(faults("limit=1000").is_empty());
    }

    #[test]
    fn the_parameter_that_gets_past_caches_is_ignored() {
        for query in ["_=1732000000", "_", "_=%FF&_=1&limit=3", "%5F=x"] {
            assert!(faults(query).is_empty(), "{query}");
        }
        assert_eq!(faults("__=1"), ["query.__"]);
    }

    #[test]
    fn broken_encoding_is_one_fault_of_its_parameter() {
        for text in ["%", "%4", "%zz", "1%", "%FF", "%C3", "%C3%28", "%ED%A0%80"] {
            assert_eq!(faults(&format!("limit={text}")), ["query.limit"], "{text}");
        }
        assert!(faults("limit=%31%30").is_empty());
    }

    #[test]
    fn times_need_a_zone() {
        assert_eq!(faults("from=2024-03-20T10:30:00").len(), 1);
        assert!(faults("from=2024-03-20T10:30:00%2B01:00").is_empty());
    }
}
