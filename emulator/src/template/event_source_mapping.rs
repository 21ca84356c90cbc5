//! The `MSK` event: the topic whose records invoke the function, its batches, and the handling of
//! failed ones.

use std::time::Duration;

use super::node::Node;
use super::{EventSourceMapping, FunctionDefinition, StartingPosition, TemplateError};
use crate::topic_name::is_topic_name;

const UNDERSTOOD: [&str; 13] = [
    "Stream",
    "Topics",
    "ConsumerGroupId",
    "StartingPosition",
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "FunctionResponseTypes",
    "DestinationConfig",
    "ProvisionedPollerConfig",
    "Enabled",
];

/// Access to the cluster, and metrics, which have no effect on one machine.
const INERT: [&str; 4] = [
    "SourceAccessConfigurations",
    "KmsKeyArn",
    "MetricsConfig",
    "LoggingConfig",
];

/// Settings that AWS accepts only together with provisioned pollers.
const NEEDS_PROVISIONED_POLLERS: [&str; 4] = [
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "FunctionResponseTypes",
];

/// Endless retries are limited to this many if there is a topic for records that failed.
const RETRIES_WITH_DESTINATION: u32 = 10;

const MAX_FUNCTION_TIMEOUT: Duration = Duration::from_secs(14 * 60);

const LOCAL_CLUSTER_ARN: &str =
    "arn:aws:kafka:us-east-1:000000000000:cluster/local/00000000-0000-0000-0000-000000000000-1";

/// Reads the `MSK` event called `name`.
pub(super) fn read(
    function: &FunctionDefinition,
    name: &str,
    event: &Node<'_>,
) -> Result<EventSourceMapping, TemplateError> {
    event.allow(&UNDERSTOOD, &INERT)?;
    check_settings(function, event)?;

    let id = format!("{}-{}", function.binary, name.to_lowercase());
    let topic = topic(event)?;
    let on_failure_topic = on_failure_topic(event, &topic)?;
    let stream = event.required("Stream")?.text()?;

    Ok(EventSourceMapping {
        function: function.name.clone(),
        event_source_arn: if stream.starts_with("arn:") {
            stream
        } else {
            LOCAL_CLUSTER_ARN.to_owned()
        },
        consumer_group: event
            .get("ConsumerGroupId")?
            .map_or_else(|| Ok(id.clone()), |group| group.text())?,
        starting_position: starting_position(&event.required("StartingPosition")?)?,
        batch_size: usize::try_from(event.count_or("BatchSize", 1..=10_000, 100)?)
            .unwrap_or(usize::MAX),
        batching_window: batching_window(event)?,
        max_retry_attempts: retry_attempts(event, on_failure_topic.is_some())?,
        bisect_on_error: event
            .get("BisectBatchOnFunctionError")?
            .map_or(Ok(false), |flag| flag.flag())?,
        max_record_age: max_record_age(event)?,
        report_batch_item_failures: reports_failures(event)?,
        on_failure_topic,
        topic,
        id,
    })
}

fn check_settings(function: &FunctionDefinition, event: &Node<'_>) -> Result<(), TemplateError> {
    if function.timeout > MAX_FUNCTION_TIMEOUT {
        return Err(event.invalid("a function fed by Kafka must have a Timeout of at most 840"));
    }

    if let Some(enabled) = event.get("Enabled")?
        && !enabled.flag()?
    {
        return Err(enabled.invalid("must be true"));
    }

    for key in NEEDS_PROVISIONED_POLLERS {
        if let Some(setting) = event.get(key)?
            && event.get("ProvisionedPollerConfig")?.is_none()
        {
            return Err(setting.invalid("needs ProvisionedPollerConfig beside it"));
        }
    }

    Ok(())
}

fn topic(event: &Node<'_>) -> Result<String, TemplateError> {
    let topics = event.required("Topics")?;
    match topics.items()?.as_slice() {
        [topic] => {
            let name = topic.text()?;
            if is_topic_name(&name) {
                Ok(name)
            } else {
                Err(topic.invalid("must be the name of a topic"))
            }
        }
        _ => Err(topics.invalid("must name exactly one topic")),
    }
}

fn starting_position(node: &Node<'_>) -> Result<StartingPosition, TemplateError> {
    match node.text()?.as_str() {
        "TRIM_HORIZON" => Ok(StartingPosition::TrimHorizon),
        "LATEST" => Ok(StartingPosition::Latest),
        _ => Err(node.invalid("must be TRIM_HORIZON or LATEST")),
    }
}

/// The window in seconds, or Kafka's default of half a second, which the property cannot express.
fn batching_window(event: &Node<'_>) -> Result<Duration, TemplateError> {
    event
        .get("MaximumBatchingWindowInSeconds")?
        .map_or(Ok(Duration::from_millis(500)), |window| {
            Ok(Duration::from_secs(window.count(0..=300)?.into()))
        })
}

fn retry_attempts(event: &Node<'_>, has_destination: bool) -> Result<Option<u32>, TemplateError> {
    let attempts = event
        .get("MaximumRetryAttempts")?
        .map_or(Ok(-1), |attempts| attempts.integer(-1..=10_000))?;

    Ok(u32::try_from(attempts)
        .ok()
        .or(has_destination.then_some(RETRIES_WITH_DESTINATION)))
}

fn max_record_age(event: &Node<'_>) -> Result<Option<Duration>, TemplateError> {
    let Some(age) = event.get("MaximumRecordAgeInSeconds")? else {
        return Ok(None);
    };

    match age.integer(-1..=604_800)? {
        -1 => Ok(None),
        seconds @ 60.. => Ok(Some(Duration::from_secs(seconds.unsigned_abs()))),
        _ => Err(age.invalid("must be -1, or 60 to 604800")),
    }
}

fn reports_failures(event: &Node<'_>) -> Result<bool, TemplateError> {
    let Some(types) = event.get("FunctionResponseTypes")? else {
        return Ok(false);
    };

    for item in types.items()? {
        if item.text()? != "ReportBatchItemFailures" {
            return Err(item.invalid("must be ReportBatchItemFailures"));
        }
    }

    Ok(!types.items()?.is_empty())
}

fn on_failure_topic(event: &Node<'_>, source: &str) -> Result<Option<String>, TemplateError> {
    let Some(config) = event.get("DestinationConfig")? else {
        return Ok(None);
    };

    config.allow(&["OnFailure"], &[])?;
    let Some(on_failure) = config.get("OnFailure")? else {
        return Ok(None);
    };

    on_failure.allow(&["Destination"], &["Type"])?;
    let destination = on_failure.required("Destination")?;
    let text = destination.text()?;

    let topic = text
        .strip_prefix("kafka://")
        .filter(|name| is_topic_name(name));

    match topic {
        Some(topic) if topic == source => {
            Err(destination.invalid("must be another topic than the one that is read"))
        }
        Some(topic) => Ok(Some(topic.to_owned())),
        None => Err(destination.invalid("must be kafka:// and the name of a topic")),
    }
}
