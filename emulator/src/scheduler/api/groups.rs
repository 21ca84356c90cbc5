//! Schedule groups.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, listing, member, read_json};
use crate::scheduler::Scheduler;
use crate::scheduler::book::Group;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::validation::Faults;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GroupRequest {
    client_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GroupsQuery {
    name_prefix: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(super) async fn create_group(
    State(scheduler): State<Arc<Scheduler>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let GroupRequest { client_token } = member(read_json(body)?)?;
    let arn = scheduler.create_group(name, client_token).await?;
    Ok(Json(json!({ "ScheduleGroupArn": arn })))
}

pub(super) async fn get_group(
    State(scheduler): State<Arc<Scheduler>>,
    Path(name): Path<String>,
) -> Answer {
    let group = scheduler.get_group(&name)?;
    Ok(Json(shown(&scheduler, &group)))
}

pub(super) async fn delete_group(
    State(scheduler): State<Arc<Scheduler>>,
    Path(name): Path<String>,
) -> Answer {
    scheduler.delete_group(name).await?;
    Ok(Json(json!({})))
}

pub(super) async fn list_groups(
    State(scheduler): State<Arc<Scheduler>>,
    query: Result<Query<GroupsQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|error| Refusal::Validation(error.body_text()))?;

    let mut faults = Faults::default();
    query
        .name_prefix
        .iter()
        .for_each(|prefix| faults.name(prefix, "namePrefix"));
    let limit = listing::page_limit(query.max_results, &mut faults);
    faults.into_result()?;

    let after = query
        .next_token
        .as_deref()
        .map(listing::position)
        .transpose()?;

    let book = scheduler.book();
    let wanted = |group: &&Group| {
        query
            .name_prefix
            .as_ref()
            .is_none_or(|prefix| group.name.starts_with(prefix))
            && after.as_ref().is_none_or(|(after, _)| group.name > *after)
    };

    let mut page: Vec<&Group> = book
        .groups
        .values()
        .filter(wanted)
        .take(limit + 1)
        .collect();
    let more = page.len() > limit;
    page.truncate(limit);

    let items: Vec<Value> = page.iter().map(|group| shown(&scheduler, group)).collect();
    let next = page
        .last()
        .filter(|_| more)
        .map(|group| listing::token(&(group.name.clone(), String::new())));
    Ok(Json(listing::page_of("ScheduleGroups", &items, next)))
}

fn shown(scheduler: &Scheduler, group: &Group) -> Value {
    let mut item = json!(group);
    if let Value::Object(members) = &mut item {
        members.remove("ClientToken");
        members.insert(
            "Arn".to_owned(),
            scheduler.account.group_arn(&group.name).into(),
        );
        members.insert("LastModificationDate".to_owned(), item_date(group));
        members.insert("State".to_owned(), "ACTIVE".into());
    }

    item
}

/// Returns when the group was last modified: at its creation, because nothing of it can be
/// modified.
fn item_date(group: &Group) -> Value {
    json!(group)["CreationDate"].clone()
}
