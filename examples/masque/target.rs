//! The target in a URI of the template `…/{target_host}/{target_port}/` (RFC 9298 §2 and §3).

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU16,
};

use http::Uri;
use percent_encoding::percent_decode_str;

/// The host and the port that a tunnel leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// Reads the target behind `prefix`, or returns `None` if the URI is not an expansion of the template.
    pub(crate) fn parse(uri: &Uri, prefix: &str) -> Option<Self> {
        if uri.query().is_some() {
            return None;
        }
        let variables = uri.path().strip_prefix(prefix)?.strip_suffix('/')?;
        let (host, port) = variables.split_once('/')?;
        // The expansion of a template encodes the colons of an IPv6 address.
        if host.contains(':') {
            return None;
        }
        let host = percent_decode_str(host).decode_utf8().ok().filter(|host| is_host(host))?;
        let port = percent_decode_str(port).decode_utf8().ok()?;
        // `parse` accepts a leading plus sign as well.
        let port: NonZeroU16 = port.parse().ok().filter(|_| !port.starts_with('+'))?;
        Some(Self { host: host.into_owned(), port: port.get() })
    }

    /// Returns the address if the host is one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Whether this is an address, or a name that can be looked up.
fn is_host(host: &str) -> bool {
    if host.contains(':') {
        // RFC 9298 §2: without a zone.
        return host.parse::<Ipv6Addr>().is_ok();
    }
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=LONGEST).contains(&host.len()) && host.bytes().all(is_of_a_name)
}

/// How long a name of the DNS can be, with the dot of the root.
const LONGEST: usize = 254;
