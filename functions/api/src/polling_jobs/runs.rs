//! The runs of a job: a list of them, newest first, and a single one.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use shared::market::{ProviderName, Symbol, Timestamp};
use shared::repository::polling_runs::{self, Failure, Outcome, OutcomeGroup, Run, RunStatus};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{job_id_of, uuid_of};
use crate::cursor;
use crate::deadline::postgres;
use crate::paging::links;
use crate::problem::{
    AlwaysProblems, DatabaseProblems, JobNotFound, Problem, QueryProblems, RunNotFound,
};
use crate::query::{QueryParameters, whole_number};
use crate::schema::WholeNumberOr;
use crate::state::AppState;

/// Most runs of a page if the request gives no `limit`.
const DEFAULT_RUNS: usize = 20;
/// Greatest `limit`.
const MAX_RUNS: usize = 50;
/// A page ends after the run with which it names this many symbols, so that an answer stays well
/// below the 6 MB that Lambda allows.
const SYMBOLS_OF_A_PAGE: usize = 10_000;

/// `limit` in the contract.
type RunLimit = WholeNumberOr<DEFAULT_RUNS, 1, MAX_RUNS>;

/// The parameters of `GET /prices/poll/{job_id}/runs`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct RunParameters {
    /// Most runs in one answer. An answer that would name too many symbols has fewer.
    #[param(inline, required = false, value_type = RunLimit)]
    limit: usize,
    /// `next_cursor` of the previous page.
    #[param(required = false)]
    cursor: String,
}

/// Runs of one job, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunList {
    /// The runs of this page.
    items: Vec<RunAnswer>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A run, or consecutive ticks that were not polled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunAnswer {
    /// The run's id.
    #[schema(value_type = String, format = "uuid", example = "018e5b6d-1b60-8000-b42d-00cf4fc964ff")]
    run_id: Uuid,
    /// Whether a request asked for it, and so it is no tick.
    #[schema(example = false)]
    requested: bool,
    /// The tick, or the first one; of a requested run, the time of the request.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:29:32Z")]
    tick_time: Timestamp,
    /// Number of ticks: more than one only if they were missed or skipped.
    #[schema(example = 1)]
    ticks: u64,
    /// `requested` while it waits for a poller; `running`; a result: `succeeded`, `partial`,
    /// `failed`, or `abandoned` if its poller ended before it; or `missed` and `skipped`, which
    /// were not polled.
    #[schema(example = "partial")]
    status: RunStatus,
    /// When a poller began it; null if none did.
    #[schema(value_type = Option<String>, format = DateTime, required, example = "2024-03-20T10:29:32.01Z")]
    started_at: Option<Timestamp>,
    /// When it ended; null if it has not, or was not polled.
    #[schema(value_type = Option<String>, format = DateTime, required, example = "2024-03-20T10:29:32.3Z")]
    finished_at: Option<Timestamp>,
    /// Number of symbols whose quote is new.
    #[schema(example = 1)]
    published: u32,
    /// Number of symbols whose quote did not move. Such a quote adds no point.
    #[schema(example = 0)]
    unchanged: u32,
    /// Number of symbols without a published quote.
    #[schema(example = 1)]
    failed: u32,
    /// The first error; null if there was none.
    #[schema(required)]
    error: Option<String>,
    /// What became of each symbol. Empty if the run has no result.
    outcomes: Vec<SymbolOutcomes>,
}

/// Symbols of a run with which the same happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SymbolOutcomes {
    /// `published`, `unchanged` or `failed`; or `closed` if they were left out because their market
    /// is closed.
    #[schema(example = "failed")]
    outcome: Outcome,
    /// The provider that gave their quotes or, if they failed, that was asked last; null if none
    /// was asked.
    #[schema(value_type = Option<String>, required, example = "yahoo")]
    provider: Option<ProviderName>,
    /// The symbols, in the job's order.
    #[schema(value_type = Vec<String>)]
    symbols: Vec<Symbol>,
    /// Why they failed; null if they did not.
    #[schema(required)]
    problem: Option<RunProblem>,
}

/// Why symbols of a run failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunProblem {
    /// Identifies the kind of problem, as in this API's error answers, or is `/docs#not-asked` if
    /// the run ended before these symbols' turn.
    #[serde(rename = "type")]
    #[schema(example = "/docs#unknown-symbol")]
    kind: String,
    /// This occurrence of the problem in words.
    #[schema(example = "yahoo does not know the symbol NOPE")]
    detail: String,
}

impl RunAnswer {
    /// The answer for a run of the job.
    fn of(job_id: Uuid, run: Run) -> Self {
        Self {
            run_id: polling_runs::run_id(job_id, run.tick_time),
            requested: run.requested,
            tick_time: run.tick_time,
            ticks: run.ticks,
            status: run.status,
            started_at: run.started_at,
            finished_at: run.finished_at,
            published: run.published,
            unchanged: run.unchanged,
            failed: run.failed,
            error: run.error,
            outcomes: run.outcomes.into_iter().map(SymbolOutcomes::from).collect(),
        }
    }
}

impl From<OutcomeGroup> for SymbolOutcomes {
    fn from(group: OutcomeGroup) -> Self {
        let problem = |Failure { kind, detail }| RunProblem {
            kind: format!("/docs#{kind}"),
            detail,
        };
        Self {
            outcome: group.outcome,
            provider: group.provider,
            symbols: group.symbols,
            problem: group.problem.map(problem),
        }
    }
}

/// The runs of a polling job, newest first
///
/// They tell what became of each tick and of each symbol. Runs are kept for 30 days unless
/// configured otherwise, and the newest one for as long as the job.
#[utoipa::path(
    get,
    path = "/prices/poll/{job_id}/runs",
    operation_id = "listRuns",
    tag = "polling jobs",
    params(("job_id" = String, Path, format = "uuid", description = "The job's id"), RunParameters),
    responses(
        (status = OK, body = RunList, description = "A page of runs", headers(("Link" = String, description = "The next page, as `rel=\"next\"`"))),
        QueryProblems, JobNotFound, DatabaseProblems, AlwaysProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    Path(job_id): Path<String>,
    uri: Uri,
) -> Result<(HeaderMap, Json<RunList>), Problem> {
    let job_id = job_id_of(&job_id)?;
    let mut query = QueryParameters::read::<RunParameters>(&uri);
    let limit = query
        .optional("limit", |text| whole_number(text, 1, MAX_RUNS))
        .unwrap_or(DEFAULT_RUNS);
    let before = query.optional("cursor", |text| position(text, job_id));
    query.finish(Some(()))?;

    let reading = polling_runs::list(&state.db, job_id, before, cursor::rows(limit));
    let runs = postgres(reading).await?;
    let runs = runs.ok_or_else(|| Problem::no_job(job_id))?;

    let limit = limit.min(fitting(&runs));
    let (runs, next_cursor) = cursor::page(runs, limit, |last| {
        cursor::encode(last.tick_time.timestamp_micros(), job_id)
    });
    let items = runs.into_iter().map(|run| RunAnswer::of(job_id, run));
    let items = items.collect();
    let links = links(&uri, next_cursor.as_deref());
    Ok((links, Json(RunList { items, next_cursor })))
}

/// One run of a polling job
///
/// The id is that of the list, or of the answer to the request for the run.
#[utoipa::path(
    get,
    path = "/prices/poll/{job_id}/runs/{run_id}",
    operation_id = "getRun",
    tag = "polling jobs",
    params(
        ("job_id" = String, Path, format = "uuid", description = "The job's id"),
        ("run_id" = String, Path, format = "uuid", description = "The run's id")
    ),
    responses(
        (status = OK, body = RunAnswer, description = "The run"),
        QueryProblems, RunNotFound, DatabaseProblems, AlwaysProblems
    )
)]
pub(crate) async fn get(
    State(state): State<Arc<AppState>>,
    Path((job_id, run_id)): Path<(String, String)>,
) -> Result<Json<RunAnswer>, Problem> {
    let job_id = job_id_of(&job_id)?;
    let run_id = uuid_of(&run_id, "path.run_id")?;

    let run = match polling_runs::time_of(run_id, job_id) {
        Some(time) => postgres(polling_runs::get(&state.db, job_id, time)).await?,
        None => None,
    };
    let run = run.ok_or_else(|| Problem::no_run(job_id, run_id))?;
    Ok(Json(RunAnswer::of(job_id, run)))
}

/// The number of runs, at least one, after which a page names [`SYMBOLS_OF_A_PAGE`] symbols.
fn fitting(runs: &[Run]) -> usize {
    let mut symbols = 0;
    let before_full = runs.iter().take_while(|run| {
        let fits = symbols < SYMBOLS_OF_A_PAGE;
        let groups = run.outcomes.iter();
        symbols += groups.map(|group| group.symbols.len()).sum::<usize>();
        fits
    });
    before_full.count()
}

/// Reads a cursor: a page starts before the last run of the previous page, of the same job.
fn position(text: &str, job_id: Uuid) -> Result<Timestamp, &'static str> {
    cursor::decode(text, |tick_time, of| {
        let tick_time = cursor::time(tick_time)?;
        (of.parse() == Ok(job_id)).then_some(tick_time)
    })
}
