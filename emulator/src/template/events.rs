//! The events of a function other than streams: HTTP routes and schedules.

use super::node::Node;
use super::{FunctionDefinition, HttpRoute, TemplateError, TemplateSchedule};

/// Reads an `HttpApi` event.
pub(super) fn http_route(
    function: &FunctionDefinition,
    event: &Node<'_>,
) -> Result<HttpRoute, TemplateError> {
    event.allow(&["Path", "Method", "PayloadFormatVersion"], &["ApiId"])?;
    if let Some(version) = event.get("PayloadFormatVersion")?
        && version.text()? != "2.0"
    {
        return Err(version.invalid("must be 2.0"));
    }

    let path = event.get("Path")?.map(|path| path.text()).transpose()?;
    let method = event
        .get("Method")?
        .map(|method| method.text())
        .transpose()?
        .map(|text| text.to_uppercase());

    let (method, path) = match (method, path) {
        (None, None) => (None, None),
        (Some(method), Some(path)) if path.starts_with('/') => (
            Some(method)
                .filter(|method| method != "ANY" && method != "X-AMAZON-APIGATEWAY-ANY-METHOD"),
            Some(path),
        ),
        (_, Some(path)) if path == "$default" => (None, None),
        _ => {
            return Err(event
                .invalid("needs a Method and a Path that begins with /, or neither for $default"));
        }
    };

    Ok(HttpRoute {
        method,
        path,
        function: function.name.clone(),
    })
}

/// Reads a `ScheduleV2` event of the function with the logical id `id`.
pub(super) fn schedule(
    function: &FunctionDefinition,
    id: &str,
    event_name: &str,
    event: &Node<'_>,
) -> Result<TemplateSchedule, TemplateError> {
    let understood = [
        "Name",
        "GroupName",
        "ScheduleExpression",
        "Input",
        "RetryPolicy",
        "State",
    ];
    event.allow(
        &understood,
        &["Description", "RoleArn", "PermissionsBoundary", "KmsKeyArn"],
    )?;

    if let Some(state) = event.get("State")?
        && state.text()? != "ENABLED"
    {
        return Err(state.invalid("must be ENABLED"));
    }

    let retry_attempts = match event.get("RetryPolicy")? {
        Some(policy) => {
            policy.allow(&["MaximumRetryAttempts"], &[])?;
            policy.count_or("MaximumRetryAttempts", 0..=185, 185)?
        }
        None => 185,
    };

    let text_or =
        |key: &str, default: String| event.get(key)?.map_or(Ok(default), |value| value.text());

    Ok(TemplateSchedule {
        name: text_or("Name", format!("{id}{event_name}"))?,
        group: text_or("GroupName", "default".to_owned())?,
        expression: event.required("ScheduleExpression")?.text()?,
        input: event.get("Input")?.map(|input| input.text()).transpose()?,
        function: function.name.clone(),
        target_arn: function.arn.clone(),
        retry_attempts,
    })
}
