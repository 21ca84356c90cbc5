//! A key's text, and the digest of its secret.

use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "mdp_";
const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const ID: usize = 8;
const SECRET: usize = 32;
/// 58⁶ is more than 2³².
const CHECKSUM: usize = 6;

/// Why a text is not a key. It does not say what is wrong, because the text may be one with a
/// misspelt character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key")]
pub struct KeyError;

/// The public part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(ArrayString<ID>);

impl KeyId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() == ID && is_base58(text) {
            ArrayString::from(text).map(Self).map_err(|_| KeyError)
        } else {
            Err(KeyError)
        }
    }
}

/// A whole key, secret included. Its `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: KeyId,
    secret: ArrayString<SECRET>,
}

impl Key {
    /// A key from `random` bytes, which must come from the operating system or a generator for
    /// secrets. Returns `None` if there are too few of them; about 45 are needed.
    pub fn from_random(random: impl IntoIterator<Item = u8>) -> Option<Self> {
        // Bytes beyond the alphabet are skipped: a remainder would favour its first characters.
        let characters = random
            .into_iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 0x3f)));
        let text: String = characters
            .take(ID + SECRET)
            .map(|character| char::from(*character))
            .collect();

        let (id, secret) = text.split_at_checked(ID)?;
        let secret = (secret.len() == SECRET).then_some(secret)?;
        Some(Self {
            id: id.parse().ok()?,
            secret: ArrayString::from(secret).ok()?,
        })
    }

    /// The public part.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The whole key as text. Show it to its owner only, and once.
    #[must_use]
    pub fn expose(&self) -> String {
        let body = format!("{PREFIX}{}_{}", self.id, self.secret);
        let checksum = checksum(&body);
        format!("{body}{checksum}")
    }

    /// What is stored of the secret.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(self.secret.as_bytes()).into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl FromStr for Key {
    type Err = KeyError;

    /// Checks the checksum too.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let length = PREFIX.len() + ID + 1 + SECRET + CHECKSUM;
        if text.len() != length || !text.is_ascii() {
            return Err(KeyError);
        }

        let (body, given) = text.split_at(length - CHECKSUM);
        let rest = body.strip_prefix(PREFIX).ok_or(KeyError)?;
        let (id, secret) = rest.split_once('_').ok_or(KeyError)?;

        let id = id.parse()?;
        if !is_base58(secret) || checksum(body) != given {
            return Err(KeyError);
        }
        let secret = ArrayString::from(secret).map_err(|_| KeyError)?;
        Ok(Self { id, secret })
    }
}

/// The SHA-256 of a key's secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// A stored digest; `None` if it has another length.
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the digest of the key's secret. The comparison takes constant time.
    #[must_use]
    pub fn is_of(&self, key: &Key) -> bool {
        self.0.ct_eq(&key.digest().0).into()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The stored part of a deployment's first key, as a parameter of its template: `<id>:<digest>`, the
/// digest in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstKey {
    /// The key's public part.
    pub id: KeyId,
    /// The SHA-256 of its secret.
    pub digest: SecretDigest,
}

impl fmt::Display for FirstKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.id)?;
        self.digest
            .0
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for FirstKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (id, digits) = text.split_once(':').ok_or(KeyError)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(KeyError);
        }

        let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
        let bytes: Result<Vec<u8>, _> = pairs.map(|pair| u8::from_str_radix(pair, 16)).collect();
        let digest = SecretDigest::from_stored(&bytes.map_err(|_| KeyError)?).ok_or(KeyError)?;
        Ok(Self {
            id: id.parse()?,
            digest,
        })
    }
}

fn is_base58(text: &str) -> bool {
    text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// The first 32 bits of the text's SHA-256, in base58.
fn checksum(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut rest = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);

    let mut characters = [ALPHABET[0]; CHECKSUM];
    for place in characters.iter_mut().rev() {
        *place = ALPHABET[rest as usize % ALPHABET.len()];
        rest /= 58;
    }
    characters.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests;
