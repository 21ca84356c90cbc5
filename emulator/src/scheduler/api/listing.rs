//! Lists of schedules, and how lists are paged.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use crate::scheduler::Scheduler;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::schedule::{Schedule, State as ScheduleState};
use crate::scheduler::validation::Faults;

/// Most items of a page, and the size of a page without `MaxResults`.
const LARGEST_PAGE: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SchedulesQuery {
    schedule_group: Option<String>,
    name_prefix: Option<String>,
    state: Option<ScheduleState>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(super) async fn list_schedules(
    State(scheduler): State<Arc<Scheduler>>,
    query: Result<Query<SchedulesQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|error| Refusal::Validation(error.body_text()))?;

    let mut faults = Faults::default();
    query
        .name_prefix
        .iter()
        .for_each(|prefix| faults.name(prefix, "namePrefix"));
    query
        .schedule_group
        .iter()
        .for_each(|group| faults.name(group, "scheduleGroup"));
    let limit = page_limit(query.max_results, &mut faults);
    faults.into_result()?;

    let after = query.next_token.as_deref().map(position).transpose()?;
    let book = scheduler.book();
    query
        .schedule_group
        .iter()
        .try_for_each(|group| book.require_group(group))?;

    let wanted = |schedule: &&Schedule| {
        query
            .schedule_group
            .as_ref()
            .is_none_or(|group| schedule.key.group == *group)
            && query
                .name_prefix
                .as_ref()
                .is_none_or(|prefix| schedule.key.name.starts_with(prefix))
            && query
                .state
                .is_none_or(|state| schedule.definition.state == state)
            && after.as_ref().is_none_or(|after| place(schedule) > *after)
    };

    let mut page: Vec<&Schedule> = book.schedules().filter(wanted).take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);

    let items: Vec<Value> = page
        .iter()
        .map(|schedule| summary(&scheduler, schedule))
        .collect();
    let next = page
        .last()
        .filter(|_| more)
        .map(|schedule| token(&place(schedule)));
    Ok(Json(page_of("Schedules", &items, next)))
}

/// Returns the members of a schedule that a list shows.
fn summary(scheduler: &Scheduler, schedule: &Schedule) -> Value {
    let mut item = json!(schedule);
    if let Value::Object(members) = &mut item {
        let shown = [
            "CreationDate",
            "GroupName",
            "LastModificationDate",
            "Name",
            "State",
        ];
        members.retain(|member, _| shown.contains(&member.as_str()));
        members.insert(
            "Arn".to_owned(),
            scheduler.account.schedule_arn(&schedule.key).into(),
        );
        members.insert(
            "Target".to_owned(),
            json!({ "Arn": schedule.definition.target.arn }),
        );
    }

    item
}

/// Returns the key by which lists are ordered.
fn place(schedule: &Schedule) -> (String, String) {
    (schedule.key.group.clone(), schedule.key.name.clone())
}

pub(super) fn page_limit(max_results: Option<usize>, faults: &mut Faults) -> usize {
    let limit = max_results.unwrap_or(LARGEST_PAGE);
    faults.require(
        (1..=LARGEST_PAGE).contains(&limit),
        "maxResults",
        "be between 1 and 100",
    );
    limit
}

pub(super) fn page_of(member: &str, items: &[Value], next: Option<String>) -> Value {
    let mut answer = json!({ member: items });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    answer
}

/// Returns a token that names the last item of a page. The list continues after it, even if
/// items were added or deleted meanwhile.
pub(super) fn token(last: &(String, String)) -> String {
    URL_SAFE_NO_PAD.encode(json!(last).to_string())
}

pub(super) fn position(token: &str) -> Result<(String, String), Refusal> {
    let text = URL_SAFE_NO_PAD.decode(token).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok())
        .ok_or_else(|| Refusal::Validation("The NextToken is not valid.".to_owned()))
}
