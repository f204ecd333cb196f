//! Extended CONNECT (RFC 8441): how a client asks for another protocol on a stream of HTTP/2.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use http::{HeaderName, Method, Version, request};
use hyper::ext::Protocol;

use crate::observe::trace;

/// Returns the `:protocol` of a request that is an extended CONNECT.
///
/// The version is not looked at: a layer that makes a new request may lose it, and hyper adds the extension
/// in HTTP/2 only.
pub(crate) fn protocol(head: &request::Parts) -> Option<&str> {
    let is_connect = head.method == Method::CONNECT;
    head.extensions.get().filter(|_| is_connect).map(Protocol::as_str)
}

/// The header by which the outermost layer knows a 200 that switches, and which it removes. `Upgrade` would
/// not do: a layer may remove it from responses of HTTP/2.
pub(crate) const SWITCH: HeaderName = HeaderName::from_static("tower-upgrade-switch");

/// Whether clients use extended CONNECT on a server of which a layer expects it.
///
/// A server that does not announce it never gets one, and no request says so. But its clients show it:
/// they speak HTTP/2, and open connections of HTTP/1.1 for their upgrades.
#[derive(Debug, Default)]
pub(crate) struct Usage(AtomicU8);

impl Usage {
    /// Takes note of an ordinary request.
    pub(crate) fn ordinary(&self, version: Version) {
        if version == Version::HTTP_2 && self.0.load(Relaxed) == NOTHING {
            self.0.store(HTTP_2, Relaxed);
        }
    }

    /// Takes note of an extended CONNECT.
    pub(crate) fn connect(&self) {
        self.0.store(SETTLED, Relaxed);
    }

    /// Takes note of an upgrade in HTTP/1.1, and logs if that shows that the server's setting is missing.
    pub(crate) fn upgrade(&self) {
        if self.0.compare_exchange(HTTP_2, SETTLED, Relaxed, Relaxed).is_ok() {
            trace::not_announced();
        }
    }
}

const NOTHING: u8 = 0;

/// There were requests of HTTP/2.
const HTTP_2: u8 = 1;

/// There was an extended CONNECT, or its absence was logged.
const SETTLED: u8 = 2;
