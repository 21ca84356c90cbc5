//! The default provider and whether it answers. The emulator knows no providers, so it asks the
//! api.

use std::time::Duration;

use serde_json::Value;

/// How long the start waits for the provider.
const PATIENCE: Duration = Duration::from_secs(4);

/// The api's report on its default provider.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DefaultProvider {
    /// Its canonical name; the configuration may use an alias.
    pub(super) name: String,
    /// Why it cannot be used now.
    pub(super) trouble: Option<String>,
}

/// Asks the api for the provider that is configured as `wanted`.
pub(super) async fn ask(wanted: &str, client: &reqwest::Client, gateway: &str) -> DefaultProvider {
    let health = async {
        let response = client.get(format!("{gateway}/health")).send().await.ok()?;
        response.json::<Value>().await.ok()
    };

    match tokio::time::timeout(PATIENCE, health).await {
        Err(_) => DefaultProvider {
            name: wanted.to_owned(),
            trouble: Some(format!("no answer within {} s", PATIENCE.as_secs())),
        },
        Ok(health) => read(&health.unwrap_or_default(), wanted),
    }
}

/// The default providers are a list with commas. They are in trouble if none of them answers.
fn read(health: &Value, wanted: &str) -> DefaultProvider {
    let list = health["default_provider"].as_str().unwrap_or(wanted);
    let troubles: Option<Vec<String>> = list.split(',').map(|name| trouble(health, name)).collect();

    DefaultProvider {
        name: list.to_owned(),
        trouble: troubles.map(|troubles| troubles.join("; ")),
    }
}

/// Why one provider does not answer; `None` if it does, or if it was not asked because of our own
/// limits: the api says `degraded` then.
fn trouble(health: &Value, name: &str) -> Option<String> {
    let check = &health["checks"]["providers"][name];

    let trouble = match check["status"].as_str() {
        Some("ok" | "degraded") => return None,
        Some(status) => check["detail"].as_str().unwrap_or(status),
        None => "GET /health does not list it",
    };
    Some(trouble.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn health(default_provider: &str) -> Value {
        json!({
            "status": "ok",
            "default_provider": default_provider,
            "checks": {"postgres": {"status": "unavailable"}, "providers": {
                "yahoo": {"status": "unavailable", "detail": "cannot connect"},
                "kraken": {"status": "degraded", "detail": "our budget is used up"},
                "replay": {"status": "ok"},
            }},
        })
    }

    #[test]
    fn only_the_default_provider_s_own_trouble_counts() {
        assert_eq!(
            read(&health("yahoo"), "yahoo").trouble.as_deref(),
            Some("cannot connect")
        );
        for other in ["replay", "kraken", "yahoo,kraken"] {
            assert_eq!(read(&health(other), other).trouble, None, "{other}");
        }
    }

    #[test]
    fn an_alias_is_read_as_the_provider_that_it_stands_for() {
        let provider = read(&health("yahoo"), "yfinance");
        assert_eq!(
            (provider.name.as_str(), provider.trouble.as_deref()),
            ("yahoo", Some("cannot connect"))
        );
    }

    #[test]
    fn a_health_that_does_not_tell_of_the_provider_is_trouble() {
        assert!(read(&health("unheard-of"), "unheard-of").trouble.is_some());
        assert!(read(&Value::Null, "yahoo").trouble.is_some());
    }
}
