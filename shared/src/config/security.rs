//! How Kafka's brokers are spoken to.

use std::fmt;

/// Whether this build speaks TLS: what is deployed does, what `cargo run` builds does not.
pub(super) const THIS_BUILD_SPEAKS_TLS: bool = cfg!(feature = "deployed");

/// How Kafka's brokers are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KafkaSecurity {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// Encrypted; only in builds with the feature `deployed`.
    Tls(Tls),
}

/// TLS towards the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// File with the certificates of the authorities that are trusted; the system's if none.
    pub ca_location: Option<String>,
    /// How we tell who we are, unless nobody asks.
    pub login: Option<Login>,
}

/// How we tell the brokers who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// MSK's IAM: by the function's own role.
    Iam {
        /// The region in which the cluster is.
        region: String,
    },
    /// By a name and a password that does not travel.
    Scram {
        /// `SCRAM-SHA-512` or `SCRAM-SHA-256`.
        mechanism: String,
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iam { region } => f.debug_struct("Iam").field("region", region).finish(),
            Self::Scram { mechanism, username, .. } => f
                .debug_struct("Scram")
                .field("mechanism", mechanism)
                .field("username", username)
                .field("password", &"(hidden)")
                .finish(),
        }
    }
}
