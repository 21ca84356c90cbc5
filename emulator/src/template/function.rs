//! `AWS::Serverless::Function`: the function itself. Other modules read its events.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_yaml_ng::Value;

use super::intrinsics::Scope;
use super::node::Node;
use super::{FunctionDefinition, Template, TemplateError, event_source_mapping, events};

const UNDERSTOOD: [&str; 8] = [
    "FunctionName",
    "CodeUri",
    "Timeout",
    "MemorySize",
    "ReservedConcurrentExecutions",
    "Environment",
    "EventInvokeConfig",
    "Events",
];

/// Rights, networks, packaging and labels, which have no effect on one machine.
const INERT: [&str; 15] = [
    "Policies",
    "Role",
    "PermissionsBoundary",
    "VpcConfig",
    "LoggingConfig",
    "Tracing",
    "KmsKeyArn",
    "Runtime",
    "Architectures",
    "Handler",
    "PackageType",
    "EphemeralStorage",
    "AutoPublishAlias",
    "Description",
    "Tags",
];

/// AWS's defaults: an asynchronous invocation is retried twice, and dropped after six hours.
const DEFAULT_ASYNC_MAX_AGE_SECONDS: u32 = 21_600;
const DEFAULT_ASYNC_RETRY_ATTEMPTS: u32 = 2;

/// Reads the function `id` and its events into `template`.
pub(super) fn read(
    template: &mut Template,
    id: &str,
    own: &Node<'_>,
    globals: Option<&Node<'_>>,
) -> Result<(), TemplateError> {
    let properties = match globals {
        Some(globals) => own.with_value(merged(globals.value(), own.value())),
        None => own.clone(),
    };
    properties.allow(&UNDERSTOOD, &INERT)?;

    let function = definition(id, &properties)?;

    if let Some(declared) = properties.get("Events")? {
        for (name, event) in declared.entries()? {
            event.allow(&["Type", "Properties"], &[])?;
            let kind = event.required("Type")?;
            let details = event.properties()?;
            match kind.text()?.as_str() {
                "HttpApi" => template
                    .http_routes
                    .push(events::http_route(&function, &details)?),
                "ScheduleV2" => template
                    .schedules
                    .push(events::schedule(&function, id, &name, &details)?),
                "MSK" => {
                    let mapping = event_source_mapping::read(&function, &name, &details)?;
                    template.event_source_mappings.push(mapping);
                }
                other => {
                    return Err(
                        kind.invalid(format!("the emulator does not know events of type {other}"))
                    );
                }
            }
        }
    }

    template.functions.push(function);
    Ok(())
}

fn definition(id: &str, properties: &Node<'_>) -> Result<FunctionDefinition, TemplateError> {
    let name = properties
        .scope()
        .reference(id)
        .map_err(|expected| properties.invalid(expected))?;

    let code = properties.required("CodeUri")?;
    let uri = code.text()?;
    let binary = uri
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty() && *name != ".");
    let binary =
        binary.ok_or_else(|| code.invalid("must be a folder named as the function's binary"))?;

    let (async_retry_attempts, async_max_age) = event_invoke_config(properties)?;

    Ok(FunctionDefinition {
        arn: Scope::function_arn(&name),
        binary: binary.to_owned(),
        timeout: Duration::from_secs(properties.count_or("Timeout", 1..=900, 3)?.into()),
        memory_mb: properties.count_or("MemorySize", 128..=10_240, 128)?,
        reserved_concurrency: match properties.get("ReservedConcurrentExecutions")? {
            Some(limit) => Some(limit.count(0..=1_000)?),
            None => None,
        },
        environment: environment(properties)?,
        async_retry_attempts,
        async_max_age,
        name,
    })
}

fn event_invoke_config(properties: &Node<'_>) -> Result<(u32, Duration), TemplateError> {
    let (mut attempts, mut age) = (DEFAULT_ASYNC_RETRY_ATTEMPTS, DEFAULT_ASYNC_MAX_AGE_SECONDS);

    if let Some(config) = properties.get("EventInvokeConfig")? {
        config.allow(&["MaximumRetryAttempts", "MaximumEventAgeInSeconds"], &[])?;
        attempts = config.count_or("MaximumRetryAttempts", 0..=2, attempts)?;
        age = config.count_or(
            "MaximumEventAgeInSeconds",
            60..=DEFAULT_ASYNC_MAX_AGE_SECONDS,
            age,
        )?;
    }

    Ok((attempts, Duration::from_secs(age.into())))
}

fn environment(properties: &Node<'_>) -> Result<BTreeMap<String, String>, TemplateError> {
    let Some(environment) = properties.get("Environment")? else {
        return Ok(BTreeMap::new());
    };

    environment.allow(&["Variables"], &[])?;
    let Some(variables) = environment.get("Variables")? else {
        return Ok(BTreeMap::new());
    };

    let mut values = BTreeMap::new();
    for (name, value) in variables.entries()? {
        let text = value.text()?;
        // As a value, a placeholder would mislead the function. Without it, the function reports
        // the variable that is missing.
        if !value.scope().is_placeholder(&text) {
            values.insert(name, text);
        }
    }

    Ok(values)
}

/// The name of the function in an ARN.
pub(super) fn name_of_arn(arn: &Node<'_>) -> Result<String, TemplateError> {
    let text = arn.text()?;
    let name = text
        .strip_prefix("arn:aws:lambda:")
        .and_then(|rest| rest.split(':').nth(3));

    name.map(str::to_owned)
        .ok_or_else(|| arn.invalid("must be the ARN of a function"))
}

/// Merges as SAM merges `Globals`: maps by key, lists one after the other, and other values by
/// replacement.
fn merged(global: &Value, own: &Value) -> Value {
    match (global, own) {
        (Value::Mapping(global), Value::Mapping(own)) => {
            let mut result = global.clone();
            for (key, value) in own {
                let value = global
                    .get(key)
                    .map_or_else(|| value.clone(), |below| merged(below, value));
                result.insert(key.clone(), value);
            }
            Value::Mapping(result)
        }
        (Value::Sequence(global), Value::Sequence(own)) => {
            Value::Sequence(global.iter().chain(own).cloned().collect())
        }
        _ => own.clone(),
    }
}
