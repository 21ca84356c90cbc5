//! CloudFormation's intrinsic functions, in their short (`!Ref`) and long (`Fn::Sub`) forms.

use std::collections::BTreeMap;

use serde_yaml_ng::Value;

const STACK_NAME: &str = "market-data";
const REGION: &str = "us-east-1";
const ACCOUNT_ID: &str = "000000000000";

/// How deep references may lead to references. A longer chain is a circle.
const MAX_DEPTH: usize = 16;

/// The parameters and resources to which names in a document refer.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    parameters: BTreeMap<String, Option<String>>,
    resources: &'a Value,
}

impl<'a> Scope<'a> {
    /// The names that `document` declares. The values in `given` replace the defaults of
    /// parameters.
    pub(super) fn new(document: &'a Value, given: &BTreeMap<String, String>) -> Self {
        let declared = document.get("Parameters").and_then(Value::as_mapping);

        let parameters = declared
            .into_iter()
            .flatten()
            .filter_map(|(name, declaration)| {
                let name = name.as_str()?.to_owned();
                let value = given
                    .get(&name)
                    .cloned()
                    .or_else(|| scalar(declaration.get("Default")?));
                Some((name, value))
            });
        static NOTHING: Value = Value::Null;

        Self {
            parameters: parameters.collect(),
            resources: document.get("Resources").unwrap_or(&NOTHING),
        }
    }

    /// Whether `text` is the placeholder of a parameter that has no value.
    pub(super) fn is_placeholder(&self, text: &str) -> bool {
        let name = text
            .strip_prefix('<')
            .and_then(|rest| rest.strip_suffix('>'));

        name.is_some_and(|name| self.parameters.get(name) == Some(&None))
    }

    /// Resolves the value's own intrinsic function, if it is one. The values inside it are not
    /// resolved.
    pub(super) fn resolve(&self, value: &Value) -> Result<Value, String> {
        self.resolved(value, 0)
    }

    /// The value of `!Ref` for the resource `id`: the name in its properties, or one made from the
    /// stack's name.
    ///
    /// # Errors
    /// The expectation in words, if there is no such resource or its name cannot be resolved.
    pub(super) fn reference(&self, id: &str) -> Result<String, String> {
        self.name(id, 0)
    }

    /// The ARN of the function `name`.
    pub(super) fn function_arn(name: &str) -> String {
        format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}")
    }

    fn resolved(&self, value: &Value, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err("refers to itself".to_owned());
        }

        let (function, argument) = match value {
            Value::Tagged(tagged) => (tagged.tag.to_string(), &tagged.value),
            Value::Mapping(mapping) => match mapping.iter().next() {
                Some((Value::String(key), argument))
                    if mapping.len() == 1 && (key == "Ref" || key.starts_with("Fn::")) =>
                {
                    (key.clone(), argument)
                }
                _ => return Ok(value.clone()),
            },
            _ => return Ok(value.clone()),
        };

        let function = function.trim_start_matches('!').trim_start_matches("Fn::");

        let text = match function {
            "Ref" => self.named(&scalar(argument).ok_or("!Ref takes a name")?, depth + 1)?,
            "Sub" => self.substituted(argument, depth + 1)?,
            "GetAtt" => self.attribute_of(argument, depth + 1)?,
            "Join" => self.joined(argument, depth + 1)?,
            other => {
                return Err(format!(
                    "the emulator does not know the intrinsic function {other}"
                ));
            }
        };

        Ok(Value::String(text))
    }

    fn named(&self, name: &str, depth: usize) -> Result<String, String> {
        let pseudo = match name {
            "AWS::StackName" => STACK_NAME,
            "AWS::Region" => REGION,
            "AWS::AccountId" => ACCOUNT_ID,
            "AWS::Partition" => "aws",
            "AWS::URLSuffix" => "amazonaws.com",
            _ => "",
        };

        if !pseudo.is_empty() {
            return Ok(pseudo.to_owned());
        }

        match self.parameters.get(name) {
            Some(Some(value)) => Ok(value.clone()),
            Some(None) => Ok(format!("<{name}>")),
            None => self.name(name, depth),
        }
    }

    fn name(&self, id: &str, depth: usize) -> Result<String, String> {
        let resource = self
            .resources
            .get(id)
            .ok_or_else(|| format!("there is no parameter or resource {id}"))?;

        let key = match kind(resource) {
            "AWS::Serverless::Function" => "FunctionName",
            "AWS::IAM::Role" => "RoleName",
            "AWS::Scheduler::ScheduleGroup" => "Name",
            _ => return Ok(id.to_owned()),
        };

        match resource
            .get("Properties")
            .and_then(|properties| properties.get(key))
        {
            None => Ok(format!("{STACK_NAME}-{id}")),
            Some(value) => {
                let name = self.resolved(value, depth + 1)?;
                scalar(&name).ok_or_else(|| format!("the {key} of {id} must be text"))
            }
        }
    }

    fn attribute_of(&self, argument: &Value, depth: usize) -> Result<String, String> {
        let path = match argument {
            Value::Sequence(parts) => parts
                .iter()
                .filter_map(scalar)
                .collect::<Vec<_>>()
                .join("."),
            other => scalar(other).unwrap_or_default(),
        };

        let (id, attribute) = path
            .split_once('.')
            .ok_or("!GetAtt takes a resource and an attribute")?;

        let resource = self
            .resources
            .get(id)
            .ok_or_else(|| format!("there is no resource {id}"))?;

        let name = self.name(id, depth)?;

        match (kind(resource), attribute) {
            ("AWS::Serverless::Function", "Arn") => Ok(Self::function_arn(&name)),
            ("AWS::IAM::Role", "Arn") => Ok(format!("arn:aws:iam::{ACCOUNT_ID}:role/{name}")),
            ("AWS::Scheduler::ScheduleGroup", "Arn") => Ok(format!(
                "arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule-group/{name}"
            )),
            (kind, _) => Err(format!(
                "the emulator does not know the attribute {attribute} of {kind}"
            )),
        }
    }

    /// `!Sub text` or `!Sub [text, {name: value}]`.
    fn substituted(&self, argument: &Value, depth: usize) -> Result<String, String> {
        let (text, own) = match argument {
            Value::Sequence(parts) => (parts.first().and_then(scalar), parts.get(1)),
            other => (scalar(other), None),
        };
        let text = text.ok_or("!Sub takes a text")?;

        let mut rest = text.as_str();
        let mut result = String::with_capacity(rest.len());

        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or("${ without }")?;
            result.push_str(before);
            result.push_str(
                &match (name.strip_prefix('!'), own.and_then(|own| own.get(name))) {
                    (Some(literal), _) => format!("${{{literal}}}"),
                    (None, Some(value)) => {
                        let value = self.resolved(value, depth + 1)?;
                        scalar(&value).ok_or_else(|| format!("{name} must be text"))?
                    }
                    (None, None) if name.contains('.') => {
                        self.attribute_of(&Value::from(name), depth + 1)?
                    }
                    (None, None) => self.named(name, depth + 1)?,
                },
            );

            rest = after;
        }

        result.push_str(rest);
        Ok(result)
    }

    /// `!Join [separator, [values]]`.
    fn joined(&self, argument: &Value, depth: usize) -> Result<String, String> {
        let expected = "!Join takes a separator and a list of texts";
        let separator = argument.get(0).and_then(scalar).ok_or(expected)?;
        let values = argument
            .get(1)
            .and_then(Value::as_sequence)
            .ok_or(expected)?;

        let texts = values
            .iter()
            .map(|value| scalar(&self.resolved(value, depth + 1)?).ok_or(expected.to_owned()));

        Ok(texts.collect::<Result<Vec<_>, String>>()?.join(&separator))
    }
}

fn kind(resource: &Value) -> &str {
    resource
        .get("Type")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
