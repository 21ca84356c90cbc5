//! The header `Idempotency-Key`, which identifies a repeated request.

use axum::http::HeaderMap;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{Fault, Problem};
use crate::schema::visible_ascii;

/// The header's name, as `HeaderMap` compares it.
const NAME: &str = "idempotency-key";
/// Most characters of a key.
const MAX_LENGTH: usize = 255;

/// The header in the contract.
#[derive(Debug)]
pub(super) struct IdempotencyKey;

impl PartialSchema for IdempotencyKey {
    fn schema() -> RefOr<Schema> {
        visible_ascii(MAX_LENGTH).into()
    }
}

impl ToSchema for IdempotencyKey {}

/// The request's key, if it has one.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let fault = |message: &str| {
        let location = "header.Idempotency-Key".to_owned();
        Err(Problem::invalid(vec![Fault {
            location,
            message: message.to_owned(),
        }]))
    };

    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return fault("is given twice");
    }

    match value.to_str() {
        Ok(key)
            if (1..=MAX_LENGTH).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(Some(key))
        }
        _ => fault(&format!(
            "must be 1 to {MAX_LENGTH} visible ASCII characters without spaces"
        )),
    }
}
