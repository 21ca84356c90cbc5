//! Chooses the stored series that a request refers to.

use shared::market::{ProviderName, Symbol};
use shared::repository::series::{self, Series};

use crate::problem::{Fault, Problem};
use crate::state::AppState;

/// Finds the series of `symbol` from `provider`. If the request names no provider, it finds the
/// series of the first default provider that has one or, if none has, the one polled last.
///
/// Foreign producers may publish under any provider's name. So a name that we have no provider for
/// is unknown only if nothing is stored under it either.
pub(crate) async fn find_series(
    state: &AppState,
    symbol: &Symbol,
    provider: Option<&ProviderName>,
) -> Result<Series, Problem> {
    let found = series::find(&state.db, symbol, provider, state.providers.default_list()).await?;
    if let Some(series) = found {
        return Ok(series);
    }

    let Some(provider) = provider else {
        return Err(Problem::no_series(format!(
            "no price of {symbol} is stored"
        )));
    };

    check_provider(state, provider).await?;
    Err(Problem::no_series(format!(
        "no price of {symbol} from {provider} is stored"
    )))
}

/// Checks that we have a provider of this name, or something is stored under it.
pub(crate) async fn check_provider(
    state: &AppState,
    provider: &ProviderName,
) -> Result<(), Problem> {
    if let Err(message) = state.provider(provider)
        && !series::has_provider(&state.db, provider).await?
    {
        return Err(Problem::unknown_provider(Fault {
            location: "query.provider".to_owned(),
            message,
        }));
    }
    Ok(())
}
