//! The request for changes: its parameters.

use axum::http::Uri;
use shared::repository::changes::{Followed, Start};

use super::cursor;
use crate::names::distinct_symbols;
use crate::problem::Problem;
use crate::query::{PageLimit, QueryParameters, whole_number};
use crate::schema::{ChangesCursorText, ProviderText, SymbolTexts, WholeNumberOr};

/// Most symbols in one request.
const MAX_SYMBOLS: usize = 100;
/// Longest wait in seconds: API Gateway ends a request after 30 s.
const MAX_WAIT: usize = 20;
/// The `after` of a client that wants nothing of the past.
const NOW: &str = "now";

/// `symbols` in the contract.
type SymbolsParameter = SymbolTexts<MAX_SYMBOLS>;
/// `wait` in the contract.
type Wait = WholeNumberOr<0, 0, MAX_WAIT>;

/// The parameters of `GET /prices/changes`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which `ChangesRequest::read` reads"
)]
pub(crate) struct ChangesParameters {
    /// Different symbols, separated by commas. One that is not stored in its spelling is looked up
    /// in upper case. It need not be stored yet.
    #[param(inline, style = Form, explode = false, value_type = SymbolsParameter)]
    symbols: String,
    /// Only series of this provider. By default, those of all providers; together they may be 200.
    #[param(inline, required = false, value_type = ProviderText)]
    provider: String,
    /// `next_cursor` of the previous answer. The symbols may be others than then. Without it, the
    /// changes begin with the first stored point of each series; with `now`, they begin with what
    /// comes after this answer, which is given at once and has no items.
    #[param(inline, required = false, value_type = ChangesCursorText)]
    after: String,
    /// Seconds to wait for a change if there is none.
    #[param(inline, required = false, value_type = Wait)]
    wait: usize,
    /// Most items in one answer.
    #[param(inline, required = false, value_type = PageLimit)]
    limit: usize,
}

/// Which changes a client wants, and how long it waits.
pub(super) struct ChangesRequest {
    pub(super) followed: Followed,
    pub(super) start: Start,
    /// In seconds.
    pub(super) wait: u64,
    pub(super) limit: usize,
}

impl ChangesRequest {
    pub(super) fn read(uri: &Uri) -> Result<Self, Problem> {
        let mut query = QueryParameters::read::<ChangesParameters>(uri);

        let list = query.required("symbols", |text| Ok::<_, String>(text.to_owned()));
        let symbols = list.map(|list| {
            let texts: Vec<_> = list.split(',').map(Some).collect();
            let as_given = |symbol| symbol;
            let place = "query.symbols";
            distinct_symbols(&texts, as_given, place, MAX_SYMBOLS, &mut query.faults)
        });
        let provider = query.optional("provider", str::parse);
        let start = query.optional("after", start).unwrap_or(Start::Beginning);
        let wait = query.optional("wait", |text| whole_number(text, 0, MAX_WAIT as u64));
        let limit = query.limit();

        let symbols = query.finish(symbols)?;
        Ok(Self {
            followed: Followed { symbols, provider },
            start,
            wait: wait.unwrap_or(0),
            limit,
        })
    }
}

fn start(text: &str) -> Result<Start, &'static str> {
    if text == NOW {
        return Ok(Start::Now);
    }
    cursor::decode(text).map(Start::After)
}
