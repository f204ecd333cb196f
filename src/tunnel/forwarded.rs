//! Headers that tell the upstream about the client: `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use std::{fmt, net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED, request};

/// Tells the upstream the client's address, host and scheme, for
/// [`Tunnel::forwarded`](super::Tunnel::forwarded).
///
/// Both forms are written, so that the upstream finds the same in the one that it reads: `Forwarded`
/// (RFC 7239), and `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
///
/// [`set`](Self::set) is for the first proxy that a client meets. [`append`](Self::append) is for one behind
/// others: a client that reaches it directly can claim any address.
///
/// See [`Tunnel::forwarded`](super::Tunnel::forwarded) for an example.
#[derive(Clone)]
#[must_use = "the headers are set only by a tunnel that gets this"]
pub struct Forwarded {
    address: Address,
    proto: Option<&'static str>,
    appends: bool,
}

type Address = Arc<dyn Fn(&request::Parts) -> Option<IpAddr> + Send + Sync>;

impl Forwarded {
    /// Replaces these headers of the client, and removes its `X-Forwarded-Port` and `X-Real-IP`.
    ///
    /// `address` returns the client's address: in axum, that of `ConnectInfo` in the request's
    /// extensions. Without one, the headers say `unknown` (RFC 7239 §6.2), and `X-Forwarded-For` is left
    /// out.
    pub fn set<F>(address: F) -> Self
    where
        F: Fn(&request::Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        Self { address: Arc::new(address), proto: None, appends: false }
    }

    /// Appends to the headers of a proxy in front. `X-Forwarded-Host` and `X-Forwarded-Proto` stay as
    /// that proxy has set them.
    pub fn append<F>(address: F) -> Self
    where
        F: Fn(&request::Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        Self { appends: true, ..Self::set(address) }
    }

    /// Says that clients use `https`, because this server speaks TLS. By default, the upstream is told no
    /// scheme: one that stands in the request is only what the client claims.
    pub fn https(mut self) -> Self {
        self.proto = Some("https");
        self
    }

    /// Says that clients use `http`. See [`https`](Self::https).
    pub fn http(mut self) -> Self {
        self.proto = Some("http");
        self
    }

    /// Returns the headers that are not taken from the client.
    pub(super) fn replaced(&self) -> &'static [HeaderName] {
        static HEADERS: [HeaderName; 6] = [FORWARDED, FOR, HOST, PROTO, PORT, REAL_IP];
        if self.appends { &[] } else { &HEADERS }
    }

    /// Adds the headers. `host` is the one that the client asked for.
    pub(super) fn add(&self, head: &request::Parts, host: &HeaderValue, headers: &mut HeaderMap) {
        let address = (self.address)(head);
        let proto = self.proto;
        headers.append(FORWARDED, element(address, host, proto));
        if let Some(Ok(address)) = address.map(|it| HeaderValue::try_from(it.to_string())) {
            headers.append(FOR, address);
        }
        headers.entry(HOST).or_insert_with(|| host.clone());
        if let Some(proto) = proto {
            headers.entry(PROTO).or_insert(HeaderValue::from_static(proto));
        }
    }
}

/// Returns a `forwarded-element`, RFC 7239 §4.
fn element(address: Option<IpAddr>, host: &HeaderValue, proto: Option<&str>) -> HeaderValue {
    let mut element = match address {
        Some(IpAddr::V4(address)) => format!("for={address}"),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        None => "for=unknown".into(),
    }
    .into_bytes();
    // A host has a colon, which no token has, and no character that a quoted string would escape.
    element.extend_from_slice(b";host=\"");
    element.extend_from_slice(host.as_bytes());
    element.push(b'"');
    if let Some(proto) = proto {
        element.extend_from_slice(b";proto=");
        element.extend_from_slice(proto.as_bytes());
    }
    HeaderValue::from_bytes(&element).unwrap_or(HeaderValue::from_static("for=unknown"))
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address: _, proto, appends } = self;
        f.debug_struct("Forwarded")
            .field("appends", appends)
            .field("proto", proto)
            .finish_non_exhaustive()
    }
}

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
