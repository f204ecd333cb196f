//! The decisions that both proxies take before they switch: is the request well-formed, where does the
//! target lead, and may a client go there?

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING},
};
use http_body_util::Full;
use tokio::{net::lookup_host, time::timeout};
use tower_upgrade::{Rejection, Switch};

use super::target::Target;

/// The settings of a proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) allowed: Allowed,
    pub(crate) resolve: Resolve,
    /// How long a lookup may take, and how long a connection to a target. 4 seconds by default, so that
    /// both are over before the layer's `handshake_timeout`.
    pub(crate) patience: Duration,
}

/// Looks up a name.
pub(crate) type Resolve = Arc<dyn Fn(Target) -> Lookup + Send + Sync>;

pub(crate) type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

impl Default for Proxy {
    fn default() -> Self {
        let resolve = |target: Target| -> Lookup {
            Box::pin(async move { Ok(lookup_host((target.host, target.port)).await?.collect()) })
        };
        Self {
            allowed: Allowed::default(),
            resolve: Arc::new(resolve),
            patience: Duration::from_secs(4),
        }
    }
}

/// The addresses that clients may reach: loopback addresses by default, or only those that are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed(Vec<IpAddr>);

impl FromIterator<IpAddr> for Allowed {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        Self(addresses.into_iter().map(|address| address.to_canonical()).collect())
    }
}

impl Allowed {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        // `::ffff:192.0.2.1` leads to 192.0.2.1.
        let address = address.to_canonical();
        if self.0.is_empty() { address.is_loopback() } else { self.0.contains(&address) }
    }
}

impl Proxy {
    /// Returns the addresses of a target that are allowed, at least one. Its name is looked up first, and
    /// the result is checked, because anyone can have a name that leads to any address.
    pub(crate) async fn addresses(&self, target: Target) -> Result<Vec<SocketAddr>, Rejection> {
        let mut addresses = match target.ip() {
            Some(address) => vec![SocketAddr::new(address, target.port)],
            None => self.look_up(target).await?,
        };
        addresses.retain(|address| self.allowed.contains(address.ip()));
        if addresses.is_empty() {
            return Err(failed(
                StatusCode::FORBIDDEN,
                "destination_ip_prohibited",
                "the address is not allowed\n",
            ));
        }
        Ok(addresses)
    }

    async fn look_up(&self, target: Target) -> Result<Vec<SocketAddr>, Rejection> {
        let (status, error, text) = match timeout(self.patience, (self.resolve)(target)).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => return Ok(addresses),
            Ok(_) => (StatusCode::BAD_GATEWAY, "dns_error", "the name is not known\n"),
            Err(_) => (StatusCode::GATEWAY_TIMEOUT, "dns_timeout", "the lookup took too long\n"),
        };
        Err(failed(status, error, text))
    }
}

/// Checks a request for a tunnel, and returns its target (RFC 9298 §3.2 and §3.4, RFC 9297 §3.2).
///
/// `Capsule-Protocol` is not looked at. It tells intermediaries of capsules, and a request without it, or
/// with one that is invalid, is as good (RFC 9297 §3.4).
pub(crate) fn target(request: &Request<Bytes>, prefix: &str) -> Result<Target, Rejection> {
    let malformed = |text| failed(StatusCode::BAD_REQUEST, "http_request_error", text);
    let headers = request.headers();
    if request.version() == Version::HTTP_2 {
        // The layer hands over no other request of HTTP/2 than an extended CONNECT.
        if request.uri().authority().is_none_or(|authority| authority.as_str().is_empty()) {
            return Err(malformed("`:authority` is missing\n"));
        }
    } else {
        if request.method() != Method::GET {
            return Err(malformed("the method has to be GET\n"));
        }
        let mut hosts = headers.get_all(HOST).iter();
        let is_one = hosts.next().is_some_and(|host| !host.is_empty()) && hosts.next().is_none();
        if !is_one {
            return Err(malformed("there has to be one Host\n"));
        }
    }
    if [CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING]
        .iter()
        .any(|name| headers.contains_key(name))
    {
        return Err(malformed("a request for a tunnel has no body\n"));
    }
    Target::parse(request.uri(), prefix)
        .ok_or_else(|| malformed("the path has to end in /{target_host}/{target_port}/\n"))
}

/// Completes the answer that opens a tunnel.
pub(crate) fn opened(switch: Switch, next_hop: SocketAddr) -> Switch {
    let status = HeaderValue::try_from(format!("{NAME}; next-hop=\"{next_hop}\""));
    switch
        .header(HeaderName::from_static("capsule-protocol"), HeaderValue::from_static("?1"))
        .header(PROXY_STATUS, status.unwrap_or(HeaderValue::from_static(NAME)))
}

/// The answer if a socket cannot be opened, or not connected (RFC 9209 §2.3).
pub(crate) fn not_connected(error: &io::Error) -> Rejection {
    let (status, error) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (StatusCode::BAD_GATEWAY, "connection_refused"),
        io::ErrorKind::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "connection_timeout"),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            (StatusCode::BAD_GATEWAY, "destination_ip_unroutable")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "proxy_internal_error"),
    };
    failed(status, error, "the target cannot be reached\n")
}

/// A response whose `Proxy-Status` has an error of RFC 9209 §2.3.
fn failed(status: StatusCode, error: &'static str, text: &'static str) -> Rejection {
    let mut response = Response::new(Full::<Bytes>::from(text));
    *response.status_mut() = status;
    let status = HeaderValue::try_from(format!("{NAME}; error={error}"));
    response.headers_mut().insert(PROXY_STATUS, status.unwrap_or(HeaderValue::from_static(NAME)));
    Rejection::from(response).with_reason(error)
}

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

const NAME: &str = "tower-upgrade";
