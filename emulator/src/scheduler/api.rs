//! The REST API's routes, requests and answers.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Scheduler;
use super::refusal::Refusal;
use super::schedule::{DEFAULT_GROUP, Definition, Key};
use crate::visitors::Visitors;

mod admission;
mod groups;
mod listing;

/// Largest request body: a target's largest input, escaped, and the other members.
const LARGEST_BODY: usize = 1024 * 1024;

type Answer = Result<Json<Value>, Refusal>;

pub(super) fn router(scheduler: Arc<Scheduler>, visitors: Visitors) -> Router {
    let schedule = get(get_schedule)
        .post(create_schedule)
        .put(update_schedule)
        .delete(delete_schedule);
    let group = get(groups::get_group)
        .post(groups::create_group)
        .delete(groups::delete_group);

    Router::new()
        .route("/schedules", get(listing::list_schedules))
        .route("/schedules/{name}", schedule)
        .route("/schedule-groups", get(groups::list_groups))
        .route("/schedule-groups/{name}", group)
        .fallback(unknown_operation)
        .method_not_allowed_fallback(unknown_operation)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(visitors, admission::admit))
        .with_state(scheduler)
}

/// The members of a request outside the definition.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    group_name: Option<String>,
    client_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyQuery {
    group_name: Option<String>,
    client_token: Option<String>,
}

async fn create_schedule(
    State(scheduler): State<Arc<Scheduler>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let (
        Envelope {
            group_name,
            client_token,
        },
        definition,
    ) = read_definition(body)?;

    let arn = scheduler
        .create(key(name, group_name), definition, client_token)
        .await?;

    Ok(Json(json!({ "ScheduleArn": arn })))
}

async fn update_schedule(
    State(scheduler): State<Arc<Scheduler>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let (Envelope { group_name, .. }, definition) = read_definition(body)?;
    let arn = scheduler.update(key(name, group_name), definition).await?;
    Ok(Json(json!({ "ScheduleArn": arn })))
}

async fn get_schedule(
    State(scheduler): State<Arc<Scheduler>>,
    Path(name): Path<String>,
    Query(query): Query<KeyQuery>,
) -> Answer {
    let schedule = scheduler.get(&key(name, query.group_name))?;

    let mut answer = json!(schedule);
    if let Value::Object(members) = &mut answer {
        for own in ["Activated", "Answered", "ClientToken"] {
            members.remove(own);
        }
        members.insert(
            "Arn".to_owned(),
            scheduler.account.schedule_arn(&schedule.key).into(),
        );
    }

    Ok(Json(answer))
}

async fn delete_schedule(
    State(scheduler): State<Arc<Scheduler>>,
    Path(name): Path<String>,
    Query(query): Query<KeyQuery>,
) -> Answer {
    scheduler
        .delete(key(name, query.group_name), query.client_token)
        .await?;
    Ok(Json(json!({})))
}

fn key(name: String, group: Option<String>) -> Key {
    Key {
        group: group.unwrap_or_else(|| DEFAULT_GROUP.to_owned()),
        name,
    }
}

fn read_definition(body: Result<Bytes, BytesRejection>) -> Result<(Envelope, Definition), Refusal> {
    let value = read_json(body)?;
    Ok((member(value.clone())?, member(value)?))
}

/// Reads the body as an object without nulls: a member that is null counts as absent.
fn read_json(body: Result<Bytes, BytesRejection>) -> Result<Value, Refusal> {
    let body = body.map_err(|error| Refusal::Validation(error.body_text()))?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    let mut value =
        serde_json::from_slice(text).map_err(|error| Refusal::Validation(error.to_string()))?;

    drop_nulls(&mut value);
    Ok(value)
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, member| !member.is_null());
        members.values_mut().for_each(drop_nulls);
    }
}

fn member<T: DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    serde_json::from_value(value)
        .map_err(|error| Refusal::Validation(format!("1 validation error detected: {error}")))
}

async fn unknown_operation() -> Response {
    error_response(
        StatusCode::NOT_FOUND,
        "UnknownOperationException",
        "There is no such operation.",
    )
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error_type) = match self {
            Self::Validation(_) => (StatusCode::BAD_REQUEST, "ValidationException"),
            Self::QuotaExceeded(_) => (
                StatusCode::PAYMENT_REQUIRED,
                "ServiceQuotaExceededException",
            ),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "ResourceNotFoundException"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "ConflictException"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerException"),
        };
        error_response(status, error_type, &self.to_string())
    }
}

fn error_response(status: StatusCode, error_type: &'static str, message: &str) -> Response {
    let header = [(HeaderName::from_static("x-amzn-errortype"), error_type)];
    (status, header, Json(json!({ "Message": message }))).into_response()
}
