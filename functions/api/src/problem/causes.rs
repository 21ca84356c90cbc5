//! Maps the errors of Postgres, providers and bodies to problems. Causes are logged without SQL;
//! answers do not contain them.

use axum::extract::rejection::BytesRejection;
use shared::acquisition::{Loss, fallback};
use shared::provider::{ProviderError, Refusal};
use shared::repository;

use super::{Problem, StatusCode, UNAVAILABLE_RETRY};

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
                let not_allowed = |status| {
                    let kind = "/docs#provider-not-allowed";
                    Self::new(status, kind, "Provider does not allow it", detail)
                };

                match refusal {
                    // The request names a provider that it cannot name.
                    Refusal::NeedsKey(_) => not_allowed(StatusCode::BAD_REQUEST),
                    // The provider would answer for other symbols.
                    Refusal::Plan => not_allowed(StatusCode::BAD_GATEWAY),
                    Refusal::KeyRefused | Refusal::Blocked => {
                        not_allowed(StatusCode::SERVICE_UNAVAILABLE).after(UNAVAILABLE_RETRY)
                    }
                }
            }
            ProviderError::Paused { .. } => Self::no_provider(detail, wait),
            ProviderError::Unspelled { .. } => Self::database_unavailable(),
            ProviderError::TimedOut { .. } => {
                Self::no_answer("/docs#provider-timeout", "Provider timeout", detail)
            }
            ProviderError::Unavailable { .. } => {
                Self::no_answer("/docs#provider-unavailable", "Provider unavailable", detail)
            }
            ProviderError::Malformed { .. } => {
                let title = "Unreadable provider response";
                Self::no_answer("/docs#provider-invalid-response", title, detail)
            }
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

impl Problem {
    /// The problem of a symbol that no provider had a price for, from what each of them had to say.
    /// With `on_unknown_symbol`, that one does not know it counts only if all say so.
    pub(crate) fn of_losses(losses: &[Loss], on_unknown_symbol: bool) -> Self {
        let is_lasting = |loss: &&Loss| !fallback::is_mendable(loss, on_unknown_symbol);
        if let Some(lasting) = losses.iter().find(is_lasting) {
            return lasting.clone().into();
        }

        let troubles = losses
            .iter()
            .filter(|loss| fallback::is_mendable(loss, false));
        match troubles.collect::<Vec<_>>().as_slice() {
            [] => losses
                .first()
                .cloned()
                .map_or_else(Self::internal, Self::from),
            [only] => (*only).clone().into(),
            all => {
                let details: Vec<String> = all.iter().map(ToString::to_string).collect();
                let errors = all.iter().filter_map(|loss| loss.provider());
                let wait = errors.filter_map(ProviderError::wait).min();
                Self::no_provider(details.join("; "), wait)
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
mod tests;
