//! Who may use the API. A request needs a key whose scope includes what it does, with these
//! exceptions:
//!
//! - As long as no key was ever made, requests that came through a listener on loopback need none.
//! - Routes without data need none: the page, the contract, and the API's health.
//!
//! Once a key was made, requests on loopback need one too: behind them may be a proxy that lets in
//! the whole network.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use shared::access::Scope;
use shared::repository::api_keys::ApiKey;
use sqlx::PgPool;

use crate::problem::Problem;
use crate::state::AppState;

pub(crate) mod contract;
mod credentials;
mod known;
mod needs;
mod origin;
mod rates;
mod standing;

use credentials::{Credentials, Place};
use known::Known;
use needs::Need;
use origin::Origin;
use rates::Rates;
use standing::Standing;

/// How requests are let in.
#[derive(Debug)]
pub enum Access {
    /// By API keys.
    Keys(Keys),
    /// Allows every request everything. For tests of other subjects.
    Everybody,
}

/// The keys, as this instance knows them.
#[derive(Debug)]
pub struct Keys {
    in_query: bool,
    known: Known,
    rates: Rates,
}

/// What is known of the sender of a request that was let in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whether it may see how the parts behind the API are: it has a key, or is on this machine.
    pub(crate) sees_details: bool,
    /// How its key stands towards its limits, if it has some.
    standing: Option<Standing>,
}

impl Caller {
    /// A sender without a key.
    fn without_key(sees_details: bool) -> Self {
        Self {
            sees_details,
            standing: None,
        }
    }
}

/// Why a request is not let in.
struct Refused {
    problem: Problem,
    /// How its key stands, if that is the reason.
    standing: Option<Box<Standing>>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            standing: None,
        }
    }
}

impl Keys {
    /// The keys in the database. With `in_query`, those of scope read may come as the query
    /// parameter `key`.
    #[must_use]
    pub fn new(in_query: bool) -> Self {
        Self {
            in_query,
            known: Known::default(),
            rates: Rates::default(),
        }
    }

    /// Decides whether a request is let in.
    async fn check(
        &self,
        db: &PgPool,
        origin: Origin,
        need: Need,
        credentials: Credentials,
    ) -> Result<Caller, Refused> {
        match (need, credentials) {
            (Need::Nothing, _) | (Need::NothingForTheStatus, Credentials::None) => {
                Ok(Caller::without_key(origin.sees_details()))
            }
            (Need::Scope(_), Credentials::None) => Ok(self.without_key(db, origin).await?),
            (_, Credentials::Malformed) => Err(refuse("malformed").into()),
            (need, Credentials::Key(key, place)) => {
                tracing::Span::current().record("key_id", key.id().as_str());
                let known = self.known.find(db, key.id()).await?;
                let known = known.filter(|known| known.digest.is_of(&key));
                let known = known.ok_or_else(|| refuse("unknown"))?;

                check_key(&known, place, need)?;
                let standing = self.rates.take(db, &known).await?;
                self.known.note_use(db, &known);
                Ok(Caller {
                    sees_details: true,
                    standing,
                })
            }
        }
    }

    /// Decides whether a request without a key is let in.
    async fn without_key(&self, db: &PgPool, origin: Origin) -> Result<Caller, Problem> {
        match (self.known.any(db).await, origin.came_through_loopback) {
            (Ok(false), true) => Ok(Caller::without_key(true)),
            (Ok(false), false) => Err(Problem::no_key_made()),
            (Err(unavailable), true) => Err(unavailable),
            (Ok(true) | Err(_), _) => Err(Problem::key_required()),
        }
    }
}

/// Decides whether a key whose secret is right may do what the request does, and names it in the
/// log.
fn check_key(key: &ApiKey, place: Place, need: Need) -> Result<(), Problem> {
    tracing::Span::current().record("key_name", key.name.as_str());

    if !key.is_valid_at(Utc::now()) {
        return Err(refuse("revoked or expired"));
    }
    // Whoever sees an address sees the key in it.
    if place == Place::Query && key.scope != Scope::Read {
        return Err(Problem::key_too_strong_for_the_query(key));
    }

    match need {
        Need::Scope(needed) if !key.scope.includes(needed) => {
            Err(Problem::scope_too_small(key, needed))
        }
        _ => Ok(()),
    }
}

/// The answer to a key that is not valid. Only the log says why.
fn refuse(reason: &str) -> Problem {
    tracing::info!(reason, "an API key was refused");
    Problem::invalid_key()
}

/// Lets requests in, or answers them with a problem.
pub(crate) async fn admit(
    State(state): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Access::Keys(keys) = &state.access else {
        request.extensions_mut().insert(Caller::without_key(true));
        return next.run(request).await;
    };

    let credentials = Credentials::take(&mut request, keys.in_query);
    let path = request.extensions().get::<MatchedPath>();
    let need = Need::of(request.method(), path.map(MatchedPath::as_str));
    let origin = Origin::of(&request);

    let (mut response, standing) = match keys.check(&state.db, origin, need, credentials).await {
        Ok(caller) => {
            let standing = caller.standing.clone();
            request.extensions_mut().insert(caller);
            (next.run(request).await, standing)
        }
        Err(Refused { problem, standing }) => {
            (problem.into_response(), standing.map(|standing| *standing))
        }
    };

    if let Some(standing) = standing {
        standing.tell(response.headers_mut());
    }
    response
}
