//! The id of a rejected event as text: what identifies the record, in URL-safe Base64.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::repository::rejected_events::quarantine::RejectedId;

use crate::cursor;

/// Longest text that is read as an id, in bytes: topics have at most 249.
const MAX_LENGTH: usize = 500;

pub(super) fn encode(id: &RejectedId) -> String {
    let hash = URL_SAFE_NO_PAD.encode(id.value_sha256);
    let micros = id.timestamp.timestamp_micros();
    let text = format!(
        "{} {} {micros} {hash} {}",
        id.partition, id.offset, id.topic
    );
    URL_SAFE_NO_PAD.encode(text)
}

/// Reads an id; `None` if the text is none.
pub(super) fn decode(text: &str) -> Option<RejectedId> {
    let text = Some(text).filter(|text| text.len() <= MAX_LENGTH)?;
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;

    let mut words = text.splitn(5, ' ');
    let id = RejectedId {
        partition: words.next()?.parse().ok()?,
        offset: words.next()?.parse().ok()?,
        timestamp: cursor::time(words.next()?)?,
        value_sha256: URL_SAFE_NO_PAD
            .decode(words.next()?)
            .ok()?
            .try_into()
            .ok()?,
        topic: words.next()?.to_owned(),
    };
    (!id.topic.contains('\0')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_other_texts_are_none() {
        let id = RejectedId {
            topic: "price-events".to_owned(),
            partition: 5,
            offset: i64::MAX,
            timestamp: "1969-12-31T23:59:59.999Z".parse().unwrap(),
            value_sha256: [7; 32],
        };
        assert_eq!(decode(&encode(&id)), Some(id));

        let nul = URL_SAFE_NO_PAD.encode(format!("0 0 0 {} \0", URL_SAFE_NO_PAD.encode([7; 32])));
        for text in ["", "AAAA", "%", &nul, &"A".repeat(501)] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
