//! The names by which callers refer to a function.

use std::collections::BTreeMap;

use super::answer::Refusal;
use crate::template::FunctionDefinition;

/// The functions, by their names and by the names of their binaries, which `cargo lambda` uses.
#[derive(Debug)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    pub(super) fn of(functions: &[FunctionDefinition]) -> Self {
        let binaries = functions
            .iter()
            .map(|function| (function.binary.clone(), function.name.clone()));
        let names = functions
            .iter()
            .map(|function| (function.name.clone(), function.name.clone()));

        // Names come last: if a function has the name of another's binary, its name counts.
        Self(binaries.chain(names).collect())
    }

    /// Returns the function that is meant by its name, its ARN, or the end of its ARN from the
    /// account on, with or without a version or alias.
    pub(super) fn find(&self, called: &str) -> Result<&str, Refusal> {
        let unqualified = unqualified(called)
            .filter(|name| is_name(name))
            .ok_or_else(|| {
                Refusal::InvalidParameter(format!("{called:?} is not a function's name or ARN"))
            })?;

        let function = self.0.get(unqualified).map(String::as_str);
        function.ok_or_else(|| Refusal::NoSuchFunction(unqualified.to_owned()))
    }
}

/// Returns `name` of `name:alias`, `123456789012:function:name:alias` or
/// `arn:aws:lambda:region:123456789012:function:name:1`.
fn unqualified(called: &str) -> Option<&str> {
    let parts: Vec<&str> = called.split(':').collect();
    match *parts.as_slice() {
        [name] | [name, _] => Some(name),
        ["arn", _, "lambda", _, _, "function", name]
        | ["arn", _, "lambda", _, _, "function", name, _] => Some(name),
        [_, "function", name] | [_, "function", name, _] => Some(name),
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    (1..=140).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names() -> Names {
        Names::of(&[FunctionDefinition {
            name: "market-data-api".to_owned(),
            binary: "api".to_owned(),
            arn: "arn:aws:lambda:us-east-1:000000000000:function:market-data-api".to_owned(),
            timeout: Duration::from_secs(1),
            memory_mb: 128,
            reserved_concurrency: None,
            environment: BTreeMap::new(),
            async_retry_attempts: 2,
            async_max_age: Duration::from_secs(60),
        }])
    }

    #[test]
    fn a_function_is_found_by_name_arn_and_binary_with_and_without_a_qualifier() {
        let names = names();
        for called in [
            "market-data-api",
            "market-data-api:$LATEST",
            "api",
            "api:live",
            "000000000000:function:market-data-api",
            "000000000000:function:market-data-api:7",
            "arn:aws:lambda:us-east-1:000000000000:function:market-data-api",
            "arn:aws:lambda:eu-west-1:123456789012:function:market-data-api:live",
        ] {
            assert_eq!(names.find(called), Ok("market-data-api"), "{called}");
        }
    }

    #[test]
    fn what_is_no_name_is_told_from_what_is_not_there() {
        let names = names();
        assert_eq!(
            names.find("nope"),
            Err(Refusal::NoSuchFunction("nope".to_owned()))
        );

        for called in ["", "a b", "a:b:c", "arn:aws:s3:::bucket", "x/y", ":"] {
            assert!(
                matches!(names.find(called), Err(Refusal::InvalidParameter(_))),
                "{called}"
            );
        }
    }
}
