//! A place in the template: a value whose intrinsic function is resolved, and the path that errors
//! name.

use std::ops::RangeInclusive;

use serde_yaml_ng::{Mapping, Value};

use super::TemplateError;
use super::intrinsics::Scope;

/// A value and its place. Children are resolved on demand, so parts that are not read (policies,
/// outputs) may use intrinsic functions that the emulator does not know.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    place: String,
    value: Value,
    scope: &'a Scope<'a>,
}

impl<'a> Node<'a> {
    /// The document itself.
    pub(super) fn root(document: &Value, scope: &'a Scope<'a>) -> Self {
        Self {
            place: String::new(),
            value: document.clone(),
            scope,
        }
    }

    /// The scope in which references are resolved.
    pub(super) fn scope(&self) -> &'a Scope<'a> {
        self.scope
    }

    /// The error that the value here is not what was `expected`.
    pub(super) fn invalid(&self, expected: impl Into<String>) -> TemplateError {
        TemplateError::Invalid {
            place: self.place.clone(),
            expected: expected.into(),
        }
    }

    /// The same place with another value.
    pub(super) fn with_value(&self, value: Value) -> Self {
        Self {
            value,
            ..self.clone()
        }
    }

    /// The value, with the values inside it unresolved.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// The child at `key`; `None` if it is missing or null.
    pub(super) fn get(&self, key: &str) -> Result<Option<Self>, TemplateError> {
        match self.mapping()?.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.child(key, value).map(Some),
        }
    }

    /// The child at `key`, which must exist.
    pub(super) fn required(&self, key: &str) -> Result<Self, TemplateError> {
        self.get(key)?.ok_or_else(|| TemplateError::Invalid {
            place: self.place_of(key),
            expected: "is required".to_owned(),
        })
    }

    /// A resource's properties; empty if it has none.
    pub(super) fn properties(&self) -> Result<Self, TemplateError> {
        let none = || Self {
            place: self.place_of("Properties"),
            value: Value::Mapping(Mapping::new()),
            scope: self.scope,
        };

        Ok(self.get("Properties")?.unwrap_or_else(none))
    }

    /// All children of a map, in the order of the file.
    pub(super) fn entries(&self) -> Result<Vec<(String, Self)>, TemplateError> {
        let entries = self.mapping()?.iter().map(|(key, value)| {
            let key = key
                .as_str()
                .ok_or_else(|| self.invalid("keys must be text"))?;
            Ok((key.to_owned(), self.child(key, value)?))
        });

        entries.collect()
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Result<Vec<Self>, TemplateError> {
        let items = self
            .value
            .as_sequence()
            .ok_or_else(|| self.invalid("must be a list"))?;

        items
            .iter()
            .enumerate()
            .map(|(index, item)| self.child(&index.to_string(), item))
            .collect()
    }

    /// Rejects every key except the `understood` ones and those that are `inert` on one machine.
    pub(super) fn allow(&self, understood: &[&str], inert: &[&str]) -> Result<(), TemplateError> {
        for key in self.mapping()?.keys() {
            let key = key.as_str().unwrap_or_default();
            if !understood.contains(&key) && !inert.contains(&key) {
                return Err(TemplateError::Invalid {
                    place: self.place_of(key),
                    expected: "the emulator does not know this property".to_owned(),
                });
            }
        }

        Ok(())
    }

    /// A scalar as text, because `10` and `"10"` mean the same in CloudFormation.
    pub(super) fn text(&self) -> Result<String, TemplateError> {
        match &self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(flag) => Ok(flag.to_string()),
            _ => Err(self.invalid("must be text")),
        }
    }

    /// A whole number within `range`.
    pub(super) fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, TemplateError> {
        let number = self
            .text()
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|number| range.contains(number));

        number.ok_or_else(|| self.invalid(format!("must be {} to {}", range.start(), range.end())))
    }

    /// The whole number at `key`, or AWS's default if it is missing.
    pub(super) fn count_or(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, TemplateError> {
        self.get(key)?
            .map_or(Ok(default), |value| value.count(range))
    }

    /// A whole number within `range`.
    pub(super) fn count(&self, range: RangeInclusive<u32>) -> Result<u32, TemplateError> {
        let number = self.integer(i64::from(*range.start())..=i64::from(*range.end()))?;
        u32::try_from(number).map_err(|_| self.invalid("must not be negative"))
    }

    /// A boolean, as a YAML boolean or as text.
    pub(super) fn flag(&self) -> Result<bool, TemplateError> {
        self.text()?
            .parse()
            .map_err(|_| self.invalid("must be true or false"))
    }

    fn mapping(&self) -> Result<&Mapping, TemplateError> {
        self.value
            .as_mapping()
            .ok_or_else(|| self.invalid("must be a map"))
    }

    fn child(&self, key: &str, value: &Value) -> Result<Self, TemplateError> {
        let place = self.place_of(key);
        let value = self
            .scope
            .resolve(value)
            .map_err(|expected| TemplateError::Invalid {
                place: place.clone(),
                expected,
            })?;

        Ok(Self {
            place,
            value,
            scope: self.scope,
        })
    }

    fn place_of(&self, key: &str) -> String {
        if self.place.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.place)
        }
    }
}
