//! Encryption and authentication of Kafka's connections.

use std::fmt;

/// Whether this build supports TLS: deployed builds do, a plain `cargo run` does not.
pub(super) const THIS_BUILD_SPEAKS_TLS: bool = cfg!(feature = "deployed");

/// Encryption and authentication of Kafka's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KafkaSecurity {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// Encrypted; only in builds with the feature `deployed`.
    Tls(Tls),
}

/// TLS for the connections to the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// File with the certificates of trusted authorities; the system's if `None`.
    pub ca_location: Option<String>,
    /// How to log in; `None` if the brokers require no login.
    pub login: Option<Login>,
}

/// How to log in to the brokers.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// MSK's IAM, with the function's role.
    Iam {
        /// The cluster's AWS region.
        region: String,
    },
    /// A name, and a password that is not sent itself.
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
            Self::Scram {
                mechanism,
                username,
                ..
            } => f
                .debug_struct("Scram")
                .field("mechanism", mechanism)
                .field("username", username)
                .field("password", &"(hidden)")
                .finish(),
        }
    }
}
