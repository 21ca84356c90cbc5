//! Maps the errors of Postgres, providers and bodies to problems. Causes are logged without SQL;
//! answers do not contain them.

use axum::extract::rejection::BytesRejection;
use shared::acquisition::{Loss, fallback};
use shared::provider::{ProviderError, Refusal};
use shared::repository;

use super::{Problem, StatusCode};

impl From<repository::Error> for Problem {
    fn from(error: repository::Error) -> Self {
        tracing::error!(%error, code = error.code().as_deref(), "a read or write in Postgres failed");

        if error.is_transient() {
            Self::database_unavailable()
        } else {
            Self::internal()
        }
    }
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        let detail = error.to_string();
        let wait = error.wait();

        match error {
            ProviderError::UnknownSymbol { .. } => Self::new(
                StatusCode::NOT_FOUND,
                "/docs#unknown-symbol",
                "Unknown symbol",
                detail,
            ),
            ProviderError::NoPrice { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "/docs#no-price",
                "No usable price",
                detail,
            ),
            ProviderError::RateLimited { .. } => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(
                    status,
                    "/docs#provider-rate-limited",
                    "Provider rate limited",
                    detail,
                )
                .after(wait.unwrap_or_default())
            }
            ProviderError::NotAllowed { refusal, .. } => {
                // Without a key the request names a provider that it cannot name; the other
                // refusals are the provider's.
                let status = match refusal {
                    Refusal::NeedsKey(_) => StatusCode::BAD_REQUEST,
                    _ => StatusCode::BAD_GATEWAY,
                };
                let kind = "/docs#provider-not-allowed";
                Self::new(status, kind, "Provider does not allow it", detail)
            }
            ProviderError::Paused { .. } => Self::no_provider(detail, wait),
            ProviderError::TimedOut { .. } => {
                let status = StatusCode::GATEWAY_TIMEOUT;
                Self::new(status, "/docs#provider-timeout", "Provider timeout", detail)
            }
            ProviderError::Unavailable { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "/docs#provider-unavailable",
                "Provider unavailable",
                detail,
            ),
            ProviderError::Malformed { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "/docs#provider-invalid-response",
                "Unreadable provider response",
                detail,
            ),
        }
    }
}

impl From<Loss> for Problem {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Provider(error) => error.into(),
            Loss::Log(_) | Loss::OutOfTime => Self::kafka_unavailable(),
        }
    }
}

/// The problem of a symbol for which several providers were asked, none of which had a price.
impl From<&[Loss]> for Problem {
    fn from(losses: &[Loss]) -> Self {
        let lasting = losses
            .iter()
            .find(|loss| !fallback::is_mendable(loss, false));
        match (lasting, losses) {
            (Some(lasting), _) => lasting.clone().into(),
            (None, [only]) => only.clone().into(),
            (None, all) => {
                let details: Vec<String> = all.iter().map(ToString::to_string).collect();
                let waits = all.iter().filter_map(|loss| match loss {
                    Loss::Provider(error) => error.wait(),
                    Loss::Log(_) | Loss::OutOfTime => None,
                });
                Self::no_provider(details.join("; "), waits.min())
            }
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::body_too_large(),
            _ => Self::broken_json("the body could not be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::price_log::PublishError;

    use super::*;

    #[test]
    fn a_run_names_a_failure_as_an_answer_does() {
        let provider = || "yahoo".parse().unwrap();
        let symbol = || "AAPL".parse().unwrap();
        let reason = String::new;
        let errors = [
            ProviderError::UnknownSymbol {
                symbol: symbol(),
                provider: provider(),
            },
            ProviderError::NoPrice {
                symbol: symbol(),
                provider: provider(),
                reason: reason(),
            },
            ProviderError::RateLimited {
                provider: provider(),
                retry_after: None,
                scope: None,
            },
            ProviderError::NotAllowed {
                provider: provider(),
                refusal: Refusal::Plan,
            },
            ProviderError::Paused {
                provider: provider(),
                reason: reason(),
                wait: Duration::ZERO,
            },
            ProviderError::TimedOut {
                provider: provider(),
            },
            ProviderError::Unavailable {
                provider: provider(),
                reason: reason(),
            },
            ProviderError::Malformed {
                provider: provider(),
                reason: reason(),
            },
        ];
        let log = PublishError::Unavailable(reason());
        let losses = errors.map(Loss::Provider).into_iter();

        for loss in losses.chain([Loss::Log(log), Loss::OutOfTime]) {
            let kind = format!("/docs#{}", loss.kind());
            assert_eq!(Problem::from(loss).kind, kind);
        }
    }
}
