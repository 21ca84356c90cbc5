//! The parts that run here and those left to other emulators, as `--only` selects.
//!
//! A part runs where its function runs: the gateway with the function behind the HTTP API, an event
//! source mapping with the function that it invokes, and the one scheduler with all functions that
//! schedules invoke.

use std::collections::BTreeSet;

use crate::Unusable;
use crate::settings::Settings;
use crate::template::Template;

/// The variable that names the function that the schedules of jobs invoke.
const SCHEDULE_TARGET: &str = "SCHEDULE_TARGET_ARN";

/// The parts that this emulator has, besides its functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Whether this emulator runs every function.
    pub(super) whole: bool,
    pub(super) gateway: bool,
    pub(super) scheduler: bool,
    /// The functions elsewhere that a deployment invokes to create schema and topics, as a list in
    /// words; empty if they run here.
    pub(super) deployed_by: String,
}

/// Reduces the template to the functions that `only` names (all, if it is empty) and returns the
/// parts that they need.
pub(super) fn select(
    template: Template,
    only: &[String],
    settings: &Settings,
) -> Result<(Template, Parts), Unusable> {
    let scheduled = scheduled_functions(&template);
    let names = named(&template, only)?;
    let whole = names.len() == template.functions.len();

    let (here, elsewhere): (Vec<_>, Vec<_>) = template
        .functions
        .iter()
        .filter(|f| scheduled.contains(&f.name))
        .partition(|f| names.contains(&f.name));

    if !here.is_empty() && !elsewhere.is_empty() {
        return Err(Unusable(format!(
            "--only: {} run together, beside the one scheduler that invokes them: name all of them or none",
            listed(
                here.iter()
                    .chain(&elsewhere)
                    .map(|function| function.binary.as_str())
            )
        )));
    }

    let scheduler = whole || !here.is_empty();
    let others = listed(elsewhere.iter().map(|function| function.binary.as_str()));

    let deployed_by = template.functions.iter().filter(|function| {
        template.custom_resources.contains(&function.name) && !names.contains(&function.name)
    });
    let deployed_by = listed(deployed_by.map(|function| function.binary.as_str()));

    let template = keep(template, &names);
    let parts = Parts {
        whole,
        gateway: !template.http_routes.is_empty(),
        scheduler,
        deployed_by,
    };

    if !whole {
        check_shared(&parts, &others, settings)?;
    }

    Ok((template, parts))
}

/// Full names of the functions in `only`, which gives full names or binaries.
fn named(template: &Template, only: &[String]) -> Result<BTreeSet<String>, Unusable> {
    if only.is_empty() {
        return Ok(template
            .functions
            .iter()
            .map(|function| function.name.clone())
            .collect());
    }

    only.iter()
        .map(|wanted| {
            let found = template
                .functions
                .iter()
                .find(|f| f.binary == *wanted || f.name == *wanted);

            found.map(|function| function.name.clone()).ok_or_else(|| {
                let known = template
                    .functions
                    .iter()
                    .map(|function| function.binary.as_str());
                Unusable(format!(
                    "--only: there is no function '{wanted}'; there are {}",
                    listed(known)
                ))
            })
        })
        .collect()
}

/// The functions that schedules invoke: those of the template's schedules, and those of jobs'
/// schedules.
fn scheduled_functions(template: &Template) -> BTreeSet<String> {
    let of_jobs: BTreeSet<&String> = template
        .functions
        .iter()
        .filter_map(|function| function.environment.get(SCHEDULE_TARGET))
        .collect();

    let of_jobs = template
        .functions
        .iter()
        .filter(|f| of_jobs.contains(&f.arn))
        .map(|f| f.name.clone());

    of_jobs
        .chain(
            template
                .schedules
                .iter()
                .map(|schedule| schedule.function.clone()),
        )
        .collect()
}

fn keep(mut template: Template, names: &BTreeSet<String>) -> Template {
    template
        .functions
        .retain(|function| names.contains(&function.name));
    template
        .http_routes
        .retain(|route| names.contains(&route.function));
    template
        .event_source_mappings
        .retain(|mapping| names.contains(&mapping.function));
    template
        .schedules
        .retain(|schedule| names.contains(&schedule.function));
    template
        .custom_resources
        .retain(|function| names.contains(function));

    template
}

/// Emulators that share Postgres and Kafka must name both, since none may start its own.
fn check_shared(parts: &Parts, others: &str, settings: &Settings) -> Result<(), Unusable> {
    let missing: Vec<&str> = [
        ("DATABASE_URL", settings.database_url.is_none()),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            settings.bootstrap_servers.is_none(),
        ),
    ]
    .into_iter()
    .filter_map(|(variable, missing)| missing.then_some(variable))
    .collect();

    if !missing.is_empty() {
        return Err(Unusable(format!(
            "--only leaves functions to other emulators, which share Postgres and Kafka with this one: set {}",
            missing.join(" and ")
        )));
    }

    if parts.gateway && !parts.scheduler && settings.scheduler_url.is_none() {
        return Err(Unusable(format!(
            "--only leaves the scheduler to the emulator of {others}: set AWS_ENDPOINT_URL_SCHEDULER to the address \
             that it has there (--scheduler-listen)"
        )));
    }

    Ok(())
}

/// `a, b and c`.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();

    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
