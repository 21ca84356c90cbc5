//! The bodies that create and change a job. They are read field by field, so that the answer names
//! every fault, not only the first.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use shared::config::MOST_SYMBOLS_PER_JOB;
use shared::market::{ProviderList, ProviderListError, Symbol, Timestamp};
use shared::repository::polling_jobs::{Change, NewJob};
use utoipa::ToSchema;
use utoipa::openapi::schema::Schema;
use uuid::Uuid;

use super::market_hours;
use crate::names;
use crate::problem::{Fault, Problem};
use crate::schema::{ProviderListText, WholeNumber, symbol_list};
use crate::state::AppState;

/// Most symbols in a body. The configured limit on a job's symbols is not greater.
const MAX_SYMBOLS: usize = MOST_SYMBOLS_PER_JOB as usize;
/// Longest interval, in seconds.
const MAX_INTERVAL: u32 = 86_400;
/// The known fields; any other field is a fault.
const FIELDS: [&str; 4] = ["symbols", "interval", "provider", "market_hours"];

/// `interval` in the contract.
type Interval = WholeNumber<1, { MAX_INTERVAL as usize }>;

/// What to poll. Other fields are faults, and so is a field that is given twice.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"symbols": ["AAPL", "MSFT"], "interval": 60, "provider": "replay"}))]
#[expect(
    dead_code,
    reason = "the contract's side of the body, which `read` reads"
)]
pub(crate) struct PollRequest {
    /// Different symbols; case is ignored.
    #[schema(schema_with = symbols_field)]
    symbols: Vec<String>,
    /// Whole seconds between ticks. By default, the value of `POLLING_INTERVAL`.
    #[schema(inline, value_type = Option<Interval>)]
    interval: Option<u32>,
    /// Up to five different providers, separated by commas, in the order in which they are asked.
    /// By default, those of `DEFAULT_PROVIDER`.
    #[schema(inline, value_type = Option<ProviderListText>)]
    provider: Option<String>,
    /// Whether symbols are left out while their market is closed. By default, not. The first
    /// provider must tell when markets are open (`yahoo`) or be one whose markets never close.
    market_hours: Option<bool>,
}

/// What to change of a job (JSON Merge Patch, RFC 7396): fields that are absent stay as they are,
/// and `null` gives a field its default. Other fields are faults, and so is a field that is given
/// twice.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"interval": 300, "symbols": ["AAPL"]}))]
#[expect(
    dead_code,
    reason = "the contract's side of the body, which `read_change` reads"
)]
pub(crate) struct JobPatch {
    /// Different symbols instead of the present ones, as the provider spells them; case is ignored.
    #[schema(required = false, schema_with = symbols_field)]
    symbols: Option<Vec<String>>,
    /// Whole seconds between ticks. The first tick at another interval is at the next whole second.
    #[schema(inline, value_type = Option<Interval>)]
    interval: Option<u32>,
    /// Up to five different providers, separated by commas, in the order in which they are asked.
    #[schema(inline, value_type = Option<ProviderListText>)]
    provider: Option<String>,
    /// Whether symbols are left out while their market is closed.
    market_hours: Option<bool>,
}

/// `symbols` in the contract.
fn symbols_field() -> Schema {
    symbol_list(MAX_SYMBOLS)
        .description(Some("Different symbols; case is ignored."))
        .into()
}

/// A request without faults.
#[derive(Debug)]
pub(super) struct Accepted {
    symbols: Vec<Symbol>,
    interval: u32,
    provider: ProviderList,
    market_hours: bool,
}

impl Accepted {
    pub(super) fn into_job(self, job_id: Uuid, created_at: Timestamp) -> NewJob {
        let Self {
            symbols,
            interval,
            provider,
            market_hours,
        } = self;
        NewJob {
            job_id,
            symbols,
            provider,
            interval_seconds: interval,
            market_hours,
            created_at,
        }
    }
}

/// Reads and validates the body.
pub(super) fn read(state: &AppState, body: &[u8]) -> Result<Accepted, Problem> {
    let (fields, mut faults) = fields_of(body)?;

    let symbols = symbols(fields.get("symbols"), &mut faults);
    let interval = interval(
        present(&fields, "interval"),
        state.polling_interval,
        &mut faults,
    );
    let market_hours = market_hours::read(present(&fields, "market_hours"), &mut faults);
    let provider = provider(state, present(&fields, "provider"), &mut faults)?;
    if let Some(provider) = &provider {
        market_hours::check(state, provider, market_hours, &mut faults);
    }

    match provider {
        Some(provider) if faults.is_empty() => Ok(Accepted {
            symbols,
            interval,
            provider,
            market_hours,
        }),
        _ => Err(Problem::invalid(faults)),
    }
}

/// Reads and validates the body of a change. `null` gives a field its default; symbols have none.
pub(super) fn read_change(state: &AppState, body: &[u8]) -> Result<Change, Problem> {
    let (fields, mut faults) = fields_of(body)?;

    let mut change = Change::default();
    if let Some(value) = fields.get("symbols") {
        change.symbols = Some(symbols(Some(value), &mut faults));
    }
    if let Some(value) = fields.get("interval") {
        let value = Some(value).filter(|value| !value.is_null());
        change.interval_seconds = Some(interval(value, state.polling_interval, &mut faults));
    }
    if let Some(value) = fields.get("provider") {
        let value = Some(value).filter(|value| !value.is_null());
        change.provider = provider(state, value, &mut faults)?;
    }
    if let Some(value) = fields.get("market_hours") {
        let value = Some(value).filter(|value| !value.is_null());
        change.market_hours = Some(market_hours::read(value, &mut faults));
    }

    if faults.is_empty() {
        Ok(change)
    } else {
        Err(Problem::invalid(faults))
    }
}

/// The fields of the body, and the faults of their names.
fn fields_of(body: &[u8]) -> Result<(Map<String, Value>, Vec<Fault>), Problem> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::broken_json(format!("the body is not JSON: {error}")))?;
    let Value::Object(fields) = value else {
        return Err(Problem::invalid(vec![fault("body", "must be an object")]));
    };

    let mut faults = unknown_fields(&fields);
    faults.extend(repeated_fields(body));
    Ok((fields, faults))
}

/// The providers that are named, or the default ones. An unknown name is a problem of its own
/// unless there are other faults; so is one that lacks what it needs.
fn provider(
    state: &AppState,
    value: Option<&Value>,
    faults: &mut Vec<Fault>,
) -> Result<Option<ProviderList>, Problem> {
    let list = match provider_list(value) {
        Ok(list) => list,
        Err(message) => {
            faults.push(fault("body.provider", &message));
            return Ok(None);
        }
    };

    let named = list.clone();
    match state.provider_list(list) {
        Ok(list) => {
            if let Some(named) = named.filter(|_| faults.is_empty()) {
                state.ready(&named)?;
            }
            Ok(Some(list))
        }
        Err(message) if faults.is_empty() => {
            Err(Problem::unknown_provider(fault("body.provider", &message)))
        }
        Err(message) => {
            faults.push(fault("body.provider", &message));
            Ok(None)
        }
    }
}

pub(super) fn fault(location: &str, message: &str) -> Fault {
    Fault {
        location: location.to_owned(),
        message: message.to_owned(),
    }
}

/// An optional field that is present. `null` counts as absent, because many clients write it for a
/// field without a value.
fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn unknown_fields(fields: &Map<String, Value>) -> Vec<Fault> {
    let unknown = fields
        .keys()
        .filter(|name| !FIELDS.contains(&name.as_str()));
    let message = format!("is not a field here; these are: {}", FIELDS.join(", "));

    unknown
        .map(|name| fault(&format!("body.{name}"), &message))
        .collect()
}

/// Known fields that are given more than once. `serde_json` would use only the last one.
fn repeated_fields(body: &[u8]) -> Vec<Fault> {
    let Names(names) = serde_json::from_slice(body).unwrap_or_default();
    let times = |field: &str| names.iter().filter(|name| *name == field).count();
    let repeated = FIELDS.iter().filter(|field| times(field) > 1);

    repeated
        .map(|field| fault(&format!("body.{field}"), "is given twice"))
        .collect()
}

/// The names of an object's fields, repeated ones included.
#[derive(Default)]
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Names;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = fields.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

fn symbols(value: Option<&Value>, faults: &mut Vec<Fault>) -> Vec<Symbol> {
    match value {
        None => faults.push(fault("body.symbols", "is required")),
        Some(Value::Array(items)) => {
            let texts: Vec<_> = items.iter().map(Value::as_str).collect();
            let spell = |symbol: Symbol| symbol.to_upper_case();
            return names::distinct_symbols(&texts, spell, "body.symbols", MAX_SYMBOLS, faults);
        }
        Some(_) => faults.push(fault("body.symbols", "must be a list of strings")),
    }
    Vec::new()
}

fn interval(value: Option<&Value>, default: u32, faults: &mut Vec<Fault>) -> u32 {
    let Some(value) = value else { return default };
    let seconds = value
        .as_u64()
        .and_then(|seconds| u32::try_from(seconds).ok());

    seconds
        .filter(|seconds| (1..=MAX_INTERVAL).contains(seconds))
        .unwrap_or_else(|| {
            faults.push(fault(
                "body.interval",
                &format!("must be a whole number from 1 to {MAX_INTERVAL}"),
            ));
            default
        })
}

fn provider_list(value: Option<&Value>) -> Result<Option<ProviderList>, String> {
    let Some(value) = value else { return Ok(None) };

    let text = value.as_str().ok_or("must be a string")?;
    text.parse()
        .map(Some)
        .map_err(|error: ProviderListError| error.to_string())
}
