//! Who may use the emulator's listeners: programs and people on this machine, but not the web pages
//! that they visit.
//!
//! A browser sends any page's requests to any address that it can reach, including this machine's.
//! It states this in the headers `Origin` and `Sec-Fetch-Site`, which no SDK sends. If a page's own
//! name resolves to this machine (DNS rebinding), the browser treats it as the same origin. The
//! `Host` header shows it, because it contains that name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use axum::http::{HeaderName, Uri};

mod host;

use host::Host;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Allows every host.
const ANY: &str = "*";

/// The hosts that requests may name besides the usual ones: names and addresses without a port.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedHosts(Arc<[Host]>, bool);

impl AllowedHosts {
    /// Reads the hosts, of which `*` means all. Returns `None` if one of them is not a host.
    pub(crate) fn read<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let (any, named): (Vec<&str>, Vec<&str>) = hosts.into_iter().partition(|host| *host == ANY);
        let named: Option<Arc<[Host]>> = named.into_iter().map(Host::without_port).collect();
        Some(Self(named?, !any.is_empty()))
    }

    /// Returns the hosts of both.
    pub(crate) fn and(&self, others: &Self) -> Self {
        Self(
            self.0.iter().chain(&*others.0).cloned().collect(),
            self.1 || others.1,
        )
    }

    /// Returns the check for a listener at `address`.
    pub(crate) fn at(&self, address: SocketAddr) -> Visitors {
        Visitors {
            allowed: self.clone(),
            loopback: address.ip().to_canonical().is_loopback(),
        }
    }
}

/// The check of a listener's requests.
#[derive(Clone, Debug)]
pub(crate) struct Visitors {
    allowed: AllowedHosts,
    /// Whether it listens only on loopback.
    loopback: bool,
}

/// Why a request is refused, in words that help a legitimate client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The listener is not known by this host.
    #[error(
        "the Host header names no host of this listener; to allow another, start the emulator with --allowed-host or \
         EMULATOR_ALLOWED_HOSTS"
    )]
    Host,
    /// A browser sent it for a page of another site.
    #[error("requests of web pages are not served here")]
    Page,
}

impl Visitors {
    /// Checks the host that a request names.
    pub(crate) fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        if self.allowed.1 {
            return Ok(());
        }

        let mut named = headers.get_all(HOST).into_iter();
        let (Some(host), None) = (named.next(), named.next()) else {
            return Err(Refused::Host);
        };
        let host = host
            .to_str()
            .ok()
            .and_then(Host::with_port)
            .ok_or(Refused::Host)?;

        // An absolute target takes precedence over the header, so both hosts are checked.
        let target = uri
            .authority()
            .map(|authority| Host::with_port(authority.as_str()).ok_or(Refused::Host));

        let all_known =
            self.knows(&host) && target.transpose()?.is_none_or(|target| self.knows(&target));

        if all_known {
            Ok(())
        } else {
            Err(Refused::Host)
        }
    }

    /// Checks the host, and that the request was not sent by a page, except one of this listener.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        self.check_host(uri, headers)?;

        let sites = headers.get_all(SEC_FETCH_SITE).into_iter();
        let own_sites = sites
            .into_iter()
            .all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));

        let host = headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let own_origin = |origin: &str| {
            origin
                .strip_prefix("http://")
                .is_some_and(|origin| origin.eq_ignore_ascii_case(host))
        };

        let origins = headers.get_all(ORIGIN).into_iter();
        let own_origins = origins
            .into_iter()
            .all(|origin| origin.to_str().is_ok_and(own_origin));

        if own_sites && own_origins {
            Ok(())
        } else {
            Err(Refused::Page)
        }
    }

    /// On loopback, only this machine's names are known. Elsewhere, hosts that no stranger can own
    /// are known, too: an address, or a name without a dot, such as that of a service in
    /// docker-compose.
    fn knows(&self, host: &Host) -> bool {
        let usual = match host {
            Host::Address(address) => !self.loopback || is_loopback(*address),
            Host::Name(name) => {
                name == "localhost"
                    || name.ends_with(".localhost")
                    || (!self.loopback && !name.contains('.'))
            }
        };

        usual || self.allowed.0.contains(host)
    }
}

/// Whether a page could have a browser send a body of this type without a preflight request. No SDK
/// declares a body so.
pub(crate) fn is_type_of_a_form(headers: &HeaderMap) -> bool {
    let types = headers.get_all(CONTENT_TYPE).into_iter();
    let essence = |value: &str| {
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    };

    types.map(|value| value.to_str().map(essence)).any(|kind| {
        matches!(
            kind.as_deref(),
            Ok("text/plain" | "application/x-www-form-urlencoded" | "multipart/form-data")
        )
    })
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests;
