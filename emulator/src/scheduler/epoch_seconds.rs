//! Dates in rest-json: seconds since 1970, an integer if whole and a fraction otherwise.

use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::clock::Timestamp;

#[derive(Serialize)]
#[serde(untagged)]
enum Seconds {
    Whole(i64),
    Fraction(f64),
}

pub(super) fn serialize<S: Serializer>(date: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let seconds = if date.timestamp_subsec_millis() == 0 {
        Seconds::Whole(date.timestamp())
    } else {
        let since_1970 = (*date - DateTime::UNIX_EPOCH).to_std().unwrap_or_default();
        Seconds::Fraction(
            Duration::from_millis(since_1970.as_millis().try_into().unwrap_or(u64::MAX))
                .as_secs_f64(),
        )
    };

    seconds.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Timestamp, D::Error> {
    let seconds = f64::deserialize(deserializer)?;

    Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|since_1970| TimeDelta::from_std(since_1970).ok())
        .and_then(|since_1970| DateTime::UNIX_EPOCH.checked_add_signed(since_1970))
        .and_then(|date| date.duration_round(TimeDelta::milliseconds(1)).ok())
        .ok_or_else(|| serde::de::Error::custom("a date must be seconds since 1970"))
}

/// The same for dates that may be absent.
pub(super) mod option {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Timestamp};

    #[derive(Serialize, Deserialize)]
    struct Date(#[serde(with = "super")] Timestamp);

    pub(in super::super) fn serialize<S: Serializer>(
        date: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        date.map(Date).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<Date>::deserialize(deserializer)?.map(|Date(date)| date))
    }
}
