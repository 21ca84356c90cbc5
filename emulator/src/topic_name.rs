//! The names of topics.

/// The rule in words.
pub(crate) const RULE: &str =
    "a topic name: up to 249 letters, digits, '.', '_' and '-', not beginning with '.'";

/// Returns true for a name that Kafka and Lambda's event source mapping accept. Kafka refuses `.`
/// and `..`; the mapping refuses every name that begins with a dot.
pub(crate) fn is_topic_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kafka_or_lambda_refuses_are_none() {
        for name in [
            "",
            ".",
            "..",
            ".prices",
            "price events",
            "prices/1",
            "pr\u{e9}cios",
        ] {
            assert!(!is_topic_name(name), "{name}");
        }
        assert!(!is_topic_name(&"a".repeat(250)));

        for name in ["prices", "price-events.v2_", "a..b", "-", &"a".repeat(249)] {
            assert!(is_topic_name(name), "{name}");
        }
    }
}
