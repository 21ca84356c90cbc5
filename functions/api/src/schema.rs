//! Schemas of the contract for types that have none of their own.

use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

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

/// A symbol in a request's body, in the contract.
#[derive(Debug)]
pub(crate) struct SymbolText;

impl PartialSchema for SymbolText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Printable ASCII without spaces."))
            .min_length(Some(1))
            .max_length(Some(32))
            .pattern(Some("^[!-~]+$"))
            .examples([json!("AAPL")])
            .into()
    }
}

impl ToSchema for SymbolText {}
