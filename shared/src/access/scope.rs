//! What a key allows.

use std::fmt;
use std::str::FromStr;

/// Why a text is not a [`Scope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be read, write or admin")]
pub struct ScopeError;

/// What a key allows. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Everything that only reads, which may ask providers.
    Read,
    /// Polling jobs are created, changed and deleted.
    Write,
    /// Stored data is verified and repaired.
    Admin,
}

impl Scope {
    /// The scope as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Whether a key of this scope may do what needs the other one.
    #[must_use]
    pub fn includes(self, needed: Self) -> bool {
        self >= needed
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        [Self::Read, Self::Write, Self::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(ScopeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_includes_write_and_write_includes_read() {
        let scopes = [Scope::Read, Scope::Write, Scope::Admin];
        for (place, scope) in scopes.into_iter().enumerate() {
            for (needed_place, needed) in scopes.into_iter().enumerate() {
                assert_eq!(
                    scope.includes(needed),
                    needed_place <= place,
                    "{scope} {needed}"
                );
            }
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert_eq!("Read".parse::<Scope>(), Err(ScopeError));
    }
}
