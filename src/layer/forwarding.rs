//! The policies of a layer: a request that no handler takes is told to upgrade, or forwarded.

use std::sync::Arc;

use http::{
    HeaderValue, Method, Response, StatusCode, Version,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, UPGRADE},
    request,
};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;

use crate::{
    connect::{self, Usage},
    handler::rejection::OwnBody,
    negotiation::{Mechanism, connection, protocol::Protocol, registered::Registered},
};

/// The policies of a layer, all of which are off by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    pub(super) required: bool,
    pub(super) advertise: bool,
    pub(super) strip: bool,
    /// Whether extended CONNECT counts as an offer, and whether clients use it.
    pub(super) extended_connect: Option<Arc<Usage>>,
}

impl Policies {
    /// Whether an ordinary request is forwarded as it is, and so is its response.
    pub(super) fn are_off(&self) -> bool {
        !self.required && !self.advertise && !self.strip
    }

    /// Returns the protocol that an extended CONNECT offers, if it counts as an offer.
    pub(super) fn extended_connect<'a>(&self, head: &'a request::Parts) -> Option<&'a str> {
        self.extended_connect.as_ref().and_then(|_| connect::protocol(head))
    }

    /// Takes note of an ordinary request.
    pub(super) fn ordinary(&self, version: Version) {
        if let Some(usage) = &self.extended_connect {
            usage.ordinary(version);
        }
    }

    /// Takes note of an offer, and of the protocol that is taken.
    pub(super) fn offered(&self, mechanism: Mechanism, taken: Option<&Protocol<'_>>) {
        let Some(usage) = &self.extended_connect else {
            return;
        };
        match mechanism {
            Mechanism::ExtendedConnect => usage.connect(),
            // h2c is not offered in HTTP/2.
            Mechanism::Upgrade if taken.is_some_and(|it| it.name() != "h2c") => usage.upgrade(),
            Mechanism::Upgrade => {}
        }
    }

    /// Whether the response to a request is to advertise: not to HTTP/1.0, nor in HTTP/2, which has no such
    /// headers (RFC 9110 §7.8, RFC 9113 §8.2.2), nor to a CONNECT, whose connection is a tunnel from then
    /// on.
    pub(super) fn advertises_to(&self, head: &request::Parts) -> bool {
        self.advertise && head.version == Version::HTTP_11 && head.method != Method::CONNECT
    }

    /// Prepares a request to be forwarded.
    pub(super) fn prepare(&self, head: &mut request::Parts) {
        if self.strip {
            connection::strip(&mut head.headers);
            head.extensions.remove::<OnUpgrade>();
        }
    }

    /// Prepares a request whose switch the inner service is asked about. It sees no other offer.
    pub(super) fn prepare_asked(
        &self,
        head: &mut request::Parts,
        mechanism: Mechanism,
        protocol: &Protocol<'_>,
    ) {
        if self.strip && mechanism == Mechanism::Upgrade {
            connection::strip_other_offers(&mut head.headers, protocol);
        }
    }

    /// Whether a request that no handler takes is answered, and not forwarded. Stripped of its `:protocol`,
    /// an extended CONNECT would be a request for something else.
    pub(super) fn answers(&self, head: &request::Parts) -> bool {
        self.required || (self.strip && connect::protocol(head).is_some())
    }

    /// Makes the response to a request that had to upgrade, and was not accepted. `is_read` says that no
    /// body of it is left unread.
    pub(super) fn demand(
        &self,
        head: &request::Parts,
        is_read: bool,
        registered: &Registered,
    ) -> Response<OwnBody> {
        let mut response = self.demand_from(head, registered);
        // RFC 9110 §10.1.1: an unread body is announced. RFC 9931 §8: the client of a CONNECT may have sent
        // bytes for the tunnel.
        let closes = !is_read || head.method == Method::CONNECT;
        if closes && head.version <= Version::HTTP_11 {
            response.headers_mut().append(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn demand_from(&self, head: &request::Parts, registered: &Registered) -> Response<OwnBody> {
        let Some(upgrade) = registered.upgrade() else {
            return text(
                StatusCode::NOT_IMPLEMENTED,
                "this server has no protocol to switch to",
                None,
            );
        };
        let is_tunnel = connect::protocol(head).is_some()
            || (head.version == Version::HTTP_2 && head.method == Method::CONNECT);
        match head.version {
            Version::HTTP_11 if !is_tunnel => {
                let why = "an upgrade is required, to one of these protocols";
                let mut response = text(StatusCode::UPGRADE_REQUIRED, why, Some(upgrade));
                let headers = response.headers_mut();
                headers.insert(UPGRADE, upgrade.clone());
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                response
            }
            _ if is_tunnel => {
                // RFC 9220 §3.
                let why = "a `:protocol` is required that is one of these";
                text(StatusCode::NOT_IMPLEMENTED, why, Some(upgrade))
            }
            Version::HTTP_2 if self.extended_connect.is_some() => {
                let why = "an extended CONNECT is required, to one of these protocols";
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, why, Some(upgrade));
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("CONNECT"));
                response
            }
            // A 426 would need an `Upgrade` header.
            _ => {
                let why = "HTTP/1.1 is required, and an upgrade to one of these protocols";
                text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, why, Some(upgrade))
            }
        }
    }
}

/// Adds the registered protocols to a forwarded response. A 1xx and a 426 say themselves what they mean by
/// `Upgrade`.
pub(super) fn advertise<B>(response: &mut Response<B>, registered: &Registered) {
    let status = response.status();
    if !status.is_informational() && status != StatusCode::UPGRADE_REQUIRED {
        registered.advertise(response.headers_mut());
    }
}

fn text(status: StatusCode, why: &str, upgrade: Option<&HeaderValue>) -> Response<OwnBody> {
    // The list has the names of registrations, which are ASCII.
    let list = upgrade.and_then(|upgrade| upgrade.to_str().ok());
    let text = match list {
        Some(list) => format!("{why}: {list}\n"),
        None => format!("{why}\n"),
    };
    let mut response = Response::new(OwnBody::new(Full::from(text)));
    *response.status_mut() = status;
    let text_plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text_plain);
    response
}
