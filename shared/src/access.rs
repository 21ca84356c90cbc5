//! API keys: how they are written, what they allow, and how often.
//!
//! A key is `mdp_<id>_<secret><checksum>` in base58, which has no characters that look alike. The id
//! (8 characters) is public: it finds the key in the database and in logs. Of the secret (32
//! characters, 187 bits) only the SHA-256 is stored. It needs no salt and no slow hash, because
//! that many random bits cannot be guessed. The checksum (6 characters) tells a misspelt key without
//! the database.

mod key;
mod limits;
mod name;
mod scope;

pub use key::{FirstKey, Key, KeyError, KeyId, SecretDigest};
pub use limits::{RateLimits, RateLimitsError};
pub use name::{KeyName, KeyNameError};
pub use scope::{Scope, ScopeError};
