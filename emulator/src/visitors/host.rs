//! The host that a request names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name in lower case without a dot at its end, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    Name(String),
}

impl Host {
    /// Parses the value of a `Host` header: a host, with or without a port.
    pub(super) fn with_port(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (_, after) = rest.split_once(']')?;
                text.split_at(text.len() - after.len())
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };

        let digits = if port.is_empty() {
            port
        } else {
            port.strip_prefix(':')?
        };

        let is_port = digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits.is_empty() || digits.parse::<u16>().is_ok());

        if is_port {
            Self::without_port(host)
        } else {
            None
        }
    }

    /// Parses a host without a port. An IPv6 address is in brackets.
    pub(super) fn without_port(text: &str) -> Option<Self> {
        if let Some(address) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            return address
                .parse::<Ipv6Addr>()
                .ok()
                .map(|address| Self::Address(address.into()));
        }

        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }

        let is_name = !name.is_empty()
            && name.len() <= 253
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        is_name.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}
