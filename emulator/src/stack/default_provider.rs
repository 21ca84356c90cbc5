//! Whether the default provider answers: asked of the api, since the emulator knows no providers.

use std::time::Duration;

use serde_json::Value;

/// A start must not wait longer for a provider.
const PATIENCE: Duration = Duration::from_secs(4);

/// Why `provider` cannot be used just now; none if it answers, or if nobody can tell.
pub(super) async fn trouble_with(provider: &str, client: &reqwest::Client, gateway: &str) -> Option<String> {
    let health = async {
        let response = client.get(format!("{gateway}/health")).send().await.ok()?;
        response.json::<Value>().await.ok()
    };
    match tokio::time::timeout(PATIENCE, health).await {
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(health) => trouble(&health?, provider),
    }
}

fn trouble(health: &Value, provider: &str) -> Option<String> {
    let check = &health["checks"]["providers"][provider];
    match check["status"].as_str() {
        Some("ok") | None => None,
        Some(status) => Some(check["detail"].as_str().unwrap_or(status).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_default_provider_s_own_trouble_counts() {
        let health = json!({"status": "ok", "checks": {"postgres": {"status": "unavailable"}, "providers": {
            "yahoo": {"status": "unavailable", "detail": "cannot connect"},
            "replay": {"status": "ok"},
        }}});
        assert_eq!(trouble(&health, "yahoo").as_deref(), Some("cannot connect"));
        assert_eq!(trouble(&health, "replay"), None);
        assert_eq!(trouble(&health, "unheard-of"), None);
    }
}
