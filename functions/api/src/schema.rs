//! Schemas of the contract for values whose types have none of their own. They read each limit from
//! the constant that the code enforces, which an attribute of a field cannot.

use serde_json::json;
use shared::candle::{Interval, Zone};
use shared::market::{MAX_NAME_LENGTH, MAX_PROVIDER_LIST_LENGTH};
use shared::moving_average::WINDOW;
use shared::moving_average::window::{Kind, MAX_WINDOW};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::changes::MAX_CURSOR_LENGTH;
use crate::rejected::MAX_REASON;

/// Prices and averages in the contract: a JSON number without a format, because `double` would make
/// clients read a float.
#[derive(Debug)]
pub(crate) struct ExactNumber;

impl PartialSchema for ExactNumber {
    fn schema() -> RefOr<Schema> {
        let description = "A decimal with all its digits. Read it as one: a float may lose some.";
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .description(Some(description))
            .examples([json!(150.25)])
            .into()
    }
}

impl ToSchema for ExactNumber {}

/// A symbol in a request.
#[derive(Debug)]
pub(crate) struct SymbolText;

impl PartialSchema for SymbolText {
    fn schema() -> RefOr<Schema> {
        visible_ascii(MAX_NAME_LENGTH)
            .description(Some("Printable ASCII without spaces."))
            .examples([json!("AAPL")])
            .into()
    }
}

impl ToSchema for SymbolText {}

/// The name of a provider in a request.
#[derive(Debug)]
pub(crate) struct ProviderText;

impl PartialSchema for ProviderText {
    fn schema() -> RefOr<Schema> {
        visible_ascii(MAX_NAME_LENGTH)
            .examples([json!("replay")])
            .into()
    }
}

impl ToSchema for ProviderText {}

/// The cursor of changes in a request.
#[derive(Debug)]
pub(crate) struct ChangesCursorText;

impl PartialSchema for ChangesCursorText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX_CURSOR_LENGTH))
            .pattern(Some("^[A-Za-z0-9_-]+$"))
            .examples([json!("now")])
            .into()
    }
}

impl ToSchema for ChangesCursorText {}

/// The beginning of a reason in a request.
#[derive(Debug)]
pub(crate) struct ReasonText;

impl PartialSchema for ReasonText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX_REASON))
            .pattern(Some("^[ -~]*[!-~][ -~]*$"))
            .examples([json!("price ")])
            .into()
    }
}

impl ToSchema for ReasonText {}

/// The form of a history in a request.
#[derive(Debug)]
pub(crate) struct FormText;

impl PartialSchema for FormText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["json", "csv", "ndjson", "parquet"]))
            .into()
    }
}

impl ToSchema for FormText {}

/// The kind of an average.
#[derive(Debug)]
pub(crate) struct KindText;

impl PartialSchema for KindText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Kind::ALL.map(Kind::name)))
            .default(Some(json!(Kind::default().name())))
            .examples([json!(Kind::Exponential.name())])
            .into()
    }
}

impl ToSchema for KindText {}

/// The interval of candles.
#[derive(Debug)]
pub(crate) struct IntervalText;

impl PartialSchema for IntervalText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Interval::ALL.map(Interval::name)))
            .examples([json!(Interval::Hour.name())])
            .into()
    }
}

impl ToSchema for IntervalText {}

/// The name of a time zone in a request.
#[derive(Debug)]
pub(crate) struct ZoneText;

impl PartialSchema for ZoneText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Zone::names()))
            .default(Some(json!(Zone::UTC.name())))
            .examples([json!("America/New_York")])
            .into()
    }
}

impl ToSchema for ZoneText {}

/// A list of providers in a request, as one text.
#[derive(Debug)]
pub(crate) struct ProviderListText;

impl PartialSchema for ProviderListText {
    fn schema() -> RefOr<Schema> {
        visible_ascii(MAX_PROVIDER_LIST_LENGTH)
            .examples([json!("yahoo,replay")])
            .into()
    }
}

impl ToSchema for ProviderListText {}

/// A list of 1 to `MOST` different symbols in a request.
#[derive(Debug)]
pub(crate) struct SymbolTexts<const MOST: usize>;

impl<const MOST: usize> PartialSchema for SymbolTexts<MOST> {
    fn schema() -> RefOr<Schema> {
        symbol_list(MOST).into()
    }
}

impl<const MOST: usize> ToSchema for SymbolTexts<MOST> {}

/// A list of 1 to `most` different symbols in a request.
pub(crate) fn symbol_list(most: usize) -> ArrayBuilder {
    ArrayBuilder::new()
        .items(SymbolText::schema())
        .min_items(Some(1))
        .max_items(Some(most))
        .unique_items(true)
        .examples([json!(["AAPL", "MSFT"])])
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Debug)]
pub(crate) struct WholeNumber<const LEAST: usize, const MOST: usize>;

impl<const LEAST: usize, const MOST: usize> PartialSchema for WholeNumber<LEAST, MOST> {
    fn schema() -> RefOr<Schema> {
        integer(LEAST, MOST).into()
    }
}

impl<const LEAST: usize, const MOST: usize> ToSchema for WholeNumber<LEAST, MOST> {}

/// A whole number from `LEAST` to `MOST` that may be omitted, which means `DEFAULT`.
#[derive(Debug)]
pub(crate) struct WholeNumberOr<const DEFAULT: usize, const LEAST: usize, const MOST: usize>;

impl<const DEFAULT: usize, const LEAST: usize, const MOST: usize> PartialSchema
    for WholeNumberOr<DEFAULT, LEAST, MOST>
{
    fn schema() -> RefOr<Schema> {
        integer(LEAST, MOST).default(Some(json!(DEFAULT))).into()
    }
}

impl<const DEFAULT: usize, const LEAST: usize, const MOST: usize> ToSchema
    for WholeNumberOr<DEFAULT, LEAST, MOST>
{
}

/// The number of points in an average.
pub(crate) fn averaged_points() -> Schema {
    integer(1, WINDOW)
        .description(Some("Number of points in the average."))
        .examples([json!(WINDOW)])
        .into()
}

/// The number of points in an average over a window that the client chooses.
pub(crate) fn points_of_window() -> Schema {
    integer(1, Kind::Exponential.most_points(MAX_WINDOW))
        .description(Some(
            "Number of points in this average. It is less than the window while the series is young, or after its unit \
             changed. An `ema` is of up to ten windows.",
        ))
        .examples([json!(WINDOW)])
        .into()
}

/// A text of 1 to `most` visible ASCII characters.
pub(crate) fn visible_ascii(most: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(most))
        .pattern(Some("^[!-~]+$"))
}

fn integer(least: usize, most: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least))
        .maximum(Some(most))
}
