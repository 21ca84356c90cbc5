//! What a record is sent back to its topic with, from quarantine or from the dead-letter topic.

use std::borrow::Cow;

use chrono::Utc;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::price_event::{PriceEvent, RecordCoordinates};

/// The value to send: the record's own, unless it is a price event without `id` or `polled_at`. The
/// averager derives these from the record's place and time, which change when it is sent again. So
/// they are filled in here as the averager would have derived them.
#[must_use]
pub fn value_to_send<'a>(value: &'a [u8], record: &RecordCoordinates<'_>) -> Cow<'a, [u8]> {
    let Ok(event) = PriceEvent::decode(Some(value), record, Utc::now()) else {
        return Cow::Borrowed(value);
    };
    if has_identity(value) {
        return Cow::Borrowed(value);
    }

    event.encode().map_or(Cow::Borrowed(value), Cow::Owned)
}

/// Whether the value has both its id and its poll time.
fn has_identity(value: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Identity {
        id: Option<IgnoredAny>,
        polled_at: Option<IgnoredAny>,
    }

    serde_json::from_slice::<Identity>(value)
        .is_ok_and(|identity| identity.id.is_some() && identity.polled_at.is_some())
}
