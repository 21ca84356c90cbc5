//! Choosing the stored series that a request means.

use shared::market::{ProviderName, Symbol};
use shared::repository::series::{self, Series};

use crate::problem::{Fault, Problem};
use crate::state::AppState;

/// The series of `symbol` at `provider`, or, where the request names none, at the default provider, or else the one
/// polled last.
///
/// Foreign producers may publish under any provider, so a name that we cannot ask is unknown only when nothing is
/// stored under it either.
pub(crate) async fn find_series(
    state: &AppState,
    symbol: &Symbol,
    provider: Option<&ProviderName>,
) -> Result<Series, Problem> {
    let found = series::find(&state.db, symbol, provider, state.providers.default_name()).await?;
    if let Some(series) = found {
        return Ok(series);
    }
    let Some(provider) = provider else {
        return Err(Problem::no_series(format!(
            "no price of {symbol} is stored"
        )));
    };
    if let Err(message) = state.provider(Some(provider))
        && !series::has_provider(&state.db, provider).await?
    {
        return Err(Problem::unknown_provider(Fault {
            location: "query.provider".to_owned(),
            message,
        }));
    }
    Err(Problem::no_series(format!(
        "no price of {symbol} from {provider} is stored"
    )))
}
