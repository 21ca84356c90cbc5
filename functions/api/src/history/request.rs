//! The request for a history: its parameters, and the points that it means.

use axum::http::{HeaderMap, Uri};
use shared::market::{ProviderName, Symbol, Timestamp};
use shared::repository::export_ends;
use shared::repository::price_points::{self, PricePoint, Range};
use shared::repository::series::Series;

use super::export::MAX_POINTS;
use super::form::Form;
use crate::cursor;
use crate::problem::Problem;
use crate::query::{DEFAULT_LIMIT, MAX_LIMIT, PageLimit, QueryParameters, whole_number};
use crate::schema::{FormText, ProviderText, SymbolText};
use crate::state::AppState;
use crate::stored::find_series;

/// The parameters of `GET /prices/history`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which `HistoryRequest::read` reads"
)]
pub(crate) struct HistoryParameters {
    /// The symbol of the series. If it is not stored in this spelling, it is looked up in upper
    /// case.
    #[param(inline, value_type = SymbolText)]
    symbol: String,
    /// The provider of the series. By default, the first of `DEFAULT_PROVIDER` that has a series of
    /// the symbol or, if none has, the provider whose series was polled last.
    #[param(inline, required = false, value_type = ProviderText)]
    provider: String,
    /// Earliest market time, included: RFC 3339 with its zone.
    #[param(required = false, format = DateTime, example = "2024-03-20T10:00:00Z")]
    from: String,
    /// Latest market time, excluded: RFC 3339 with its zone.
    #[param(required = false, format = DateTime, example = "2024-03-20T11:00:00Z")]
    to: String,
    /// Most points in one answer. A file may have up to 50,000, which is its default.
    #[param(inline, required = false, value_type = PageLimit)]
    limit: usize,
    /// `next_cursor` of the previous page; the next page is of the same provider. It serves all
    /// forms.
    #[param(required = false)]
    cursor: String,
    /// The form of the answer. By default, the one that `Accept` prefers.
    #[param(inline, required = false, value_type = FormText)]
    format: String,
}

/// What is stored of a request.
pub(super) struct Found {
    pub(super) series: Series,
    /// The points, and one more if there is a next page.
    pub(super) points: Vec<PricePoint>,
    /// The end of the file, if the request does not fix it.
    pub(super) held: Option<Timestamp>,
}

/// The points that a client wants, and how.
pub(super) struct HistoryRequest {
    symbol: Symbol,
    /// The provider that the client or its cursor names.
    provider: Option<ProviderName>,
    range: Range,
    pub(super) limit: usize,
    pub(super) form: Form,
}

impl HistoryRequest {
    pub(super) fn read(uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut query = QueryParameters::read::<HistoryParameters>(uri);
        let symbol = query.required("symbol", str::parse::<Symbol>);
        let mut provider = query.optional("provider", str::parse::<ProviderName>);

        // Read before the cursor moves `to`: only bounds that the client gave can be at fault.
        let mut range = query.range();

        let named = query.text("format").is_some();
        let format = query.optional("format", Form::named);
        let form = match format {
            Some(form) => Ok(form),
            // A wrong name is a fault already.
            None if named => Ok(Form::Json),
            None => Form::accepted(headers),
        };

        let (default, most) = match form {
            Ok(Form::File(_)) => (MAX_POINTS, MAX_POINTS),
            _ => (DEFAULT_LIMIT, MAX_LIMIT),
        };
        let limit = query
            .optional("limit", |text| whole_number(text, 1, most))
            .unwrap_or(default);

        if let Some((before, of)) = query.optional("cursor", cursor::before) {
            if provider.as_ref().is_some_and(|provider| *provider != of) {
                query.fault("cursor", format_args!("is of another provider: {of}"));
            }
            range.to = Some(range.to.map_or(before, |to| to.min(before)));
            provider = Some(of);
        }

        Ok(Self {
            symbol: query.finish(symbol)?,
            provider,
            range,
            limit,
            form: form?,
        })
    }

    /// Reads the series and its points, and one point beyond the limit.
    pub(super) async fn read_points(&self, state: &AppState) -> Result<Found, Problem> {
        let series = find_series(state, &self.symbol, self.provider.as_ref()).await?;

        let mut range = self.range;
        let mut held = None;
        if matches!(self.form, Form::File(_)) && !self.is_fixed(&series) {
            let newest = cursor::after(series.timestamp);
            let end = export_ends::hold(&state.db, series.series_id, newest).await?;
            range.to = Some(range.to.map_or(end, |to| to.min(end)));
            held = Some(end);
        }

        let rows = cursor::rows(self.limit);
        let points = price_points::history(&state.db, series.series_id, range, rows).await?;
        Ok(Found {
            series,
            points,
            held,
        })
    }

    /// Whether no newer point can become part of the answer: the request names the provider, and
    /// ends at or before the newest point. A cursor does both.
    fn is_fixed(&self, series: &Series) -> bool {
        let after_newest = cursor::after(series.timestamp);
        self.provider.is_some() && self.range.to.is_some_and(|to| to <= after_newest)
    }
}
