//! The wiring that `template.yaml` declares for production, read into the values that the
//! emulator's parts use.
//!
//! Only the properties that the pipeline uses are supported. Any other property that would change
//! behaviour in AWS is an error, so that a laptop never silently differs from production.
//! Properties that have no effect on one machine (networks, policies, tags) are listed beside the
//! reader of each resource.

use std::collections::BTreeMap;
use std::path::Path;

use serde_yaml_ng::Value;

mod definitions;
mod event_source_mapping;
mod events;
mod function;
mod intrinsics;
mod node;

pub(crate) use definitions::{
    EventSourceMapping, FunctionDefinition, HttpRoute, StartingPosition, Template, TemplateSchedule,
};

use intrinsics::Scope;
use node::Node;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    /// The file cannot be read.
    #[error("cannot read the template {path}")]
    Unreadable {
        /// The path as it was given.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML.
    #[error("the template is not YAML: {0}")]
    NotYaml(#[from] serde_yaml_ng::Error),
    /// A value is not the one that its place requires.
    #[error("{place}: {expected}")]
    Invalid {
        /// Resource and property, such as `Resources.Averager.Properties.Timeout`.
        place: String,
        /// The value that was expected there.
        expected: String,
    },
}

/// Types of resources without an effect on one machine: rights, networks, logs, and resources
/// outside of the stack.
const INERT_RESOURCES: [&str; 5] = [
    "AWS::IAM::",
    "AWS::Logs::",
    "AWS::CloudWatch::",
    "AWS::EC2::",
    "AWS::SecretsManager::",
];

impl Template {
    /// Reads the template at `path`, with `parameters` in place of its defaults.
    pub(crate) fn load(
        path: &Path,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, TemplateError> {
        let text = std::fs::read_to_string(path).map_err(|source| TemplateError::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(&text, parameters)
    }

    /// Reads the text of a template.
    pub(crate) fn parse(
        text: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, TemplateError> {
        let mut document: Value = serde_yaml_ng::from_str(text)?;
        document.apply_merge()?;

        let scope = Scope::new(&document, parameters);
        let root = Node::root(&document, &scope);

        let globals = match root.get("Globals")? {
            Some(globals) => {
                globals.allow(&["Function"], &[])?;
                globals.get("Function")?
            }
            None => None,
        };

        let mut template = Self::default();
        for (id, resource) in root.required("Resources")?.entries()? {
            template.add(&id, &resource, globals.as_ref())?;
        }

        Ok(template)
    }

    fn add(
        &mut self,
        id: &str,
        resource: &Node<'_>,
        globals: Option<&Node<'_>>,
    ) -> Result<(), TemplateError> {
        resource.allow(
            &["Type", "Properties", "Metadata", "DependsOn"],
            &["DeletionPolicy", "UpdateReplacePolicy"],
        )?;

        let kind = resource.required("Type")?;
        let properties = resource.properties()?;

        match kind.text()?.as_str() {
            "AWS::Serverless::Function" => function::read(self, id, &properties, globals),
            "AWS::Serverless::HttpApi" => properties.allow(
                &[],
                &[
                    "Description",
                    "Name",
                    "Tags",
                    "AccessLogSettings",
                    "FailOnWarnings",
                ],
            ),
            "AWS::Scheduler::ScheduleGroup" => {
                properties.allow(&["Name"], &["Tags"])?;
                let name = properties
                    .scope()
                    .reference(id)
                    .map_err(|expected| properties.invalid(expected))?;
                self.schedule_groups.push(name);
                Ok(())
            }
            custom
                if custom == "AWS::CloudFormation::CustomResource"
                    || custom.starts_with("Custom::") =>
            {
                let target = properties.required("ServiceToken")?;
                self.custom_resources.push(function::name_of_arn(&target)?);
                Ok(())
            }
            inert
                if INERT_RESOURCES
                    .iter()
                    .any(|prefix| inert.starts_with(prefix)) =>
            {
                Ok(())
            }
            other => Err(kind.invalid(format!(
                "the emulator does not know resources of type {other}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
