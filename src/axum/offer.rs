//! A WebSocket's offer as an extractor.

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{HeaderValue, Response, StatusCode, Version, header::UPGRADE, request};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;

use crate::{
    connect,
    handler::{answer::Link, rejection::Rejection},
    negotiation::{connection, is_offered, length::Length},
    observe::trace,
    websocket::{Offer, Origins},
};

/// Takes the offer of a WebSocket, with all checks done.
///
/// The [`Origins`] are those in the request's extensions (`axum::Extension`), and
/// [`Origins::same_host`] if there are none. A request without an offer is rejected with 426. In HTTP/2
/// and HTTP/1.0, which have no `Upgrade`, it is rejected with 400, and an extended CONNECT for another
/// protocol, or that no layer takes, with 501.
impl<S> FromRequestParts<S> for Offer
where
    S: Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(head: &mut request::Parts, _state: &S) -> Result<Self, Rejection> {
        match offer(head) {
            Ok(offer) => offer,
            Err(missing) => Err(upgrade_required(missing, head)),
        }
    }
}

/// Takes the offer of a WebSocket if there is one, so that a page and a socket can share a path.
/// An offer that fails a check is rejected, and so is an extended CONNECT for another protocol, or that
/// no layer takes.
impl<S> OptionalFromRequestParts<S> for Offer
where
    S: Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(
        head: &mut request::Parts,
        _state: &S,
    ) -> Result<Option<Self>, Rejection> {
        match offer(head) {
            Ok(offer) => offer.map(Some),
            // A page would be a 2xx, which opens the tunnel of a CONNECT.
            Err(missing @ (Missing::ExtendedConnect | Missing::Protocol)) => {
                Err(upgrade_required(missing, head))
            }
            Err(Missing::Offer | Missing::Layer) => Ok(None),
        }
    }
}

/// The reasons why there is no offer to take.
#[derive(Clone, Copy)]
enum Missing {
    /// The client offers no WebSocket, or none that could be taken.
    Offer,
    /// No layer hands the client's offer on.
    Layer,
    /// No layer takes extended CONNECT for an offer.
    ExtendedConnect,
    /// An extended CONNECT asks for another protocol.
    Protocol,
}

/// Checks the offer, or returns why there is none. Logs that the layer is missing.
fn offer(head: &request::Parts) -> Result<Result<Offer, Rejection>, Missing> {
    let agreed = head.extensions.get().and_then(Link::protocol);
    if agreed.is_some_and(|it| it.is_websocket()) {
        let origins = head.extensions.get().cloned().unwrap_or_else(Origins::same_host);
        return Ok(Offer::from_head(head, &origins));
    }
    let missing = match connect::protocol(head) {
        Some(protocol) if protocol.eq_ignore_ascii_case(WEBSOCKET) => Missing::ExtendedConnect,
        Some(_) => return Err(Missing::Protocol),
        None if is_forgotten(head) => Missing::Layer,
        None => return Err(Missing::Offer),
    };
    trace::unasked(head);
    Err(missing)
}

/// Whether the client offers a WebSocket, hyper could upgrade the connection, and no layer took
/// part. A layer forwards offers with a body.
fn is_forgotten(head: &request::Parts) -> bool {
    head.extensions.get::<OnUpgrade>().is_some()
        && connection::names_connection_option(&head.headers, "upgrade")
        && WEBSOCKET.parse().is_ok_and(|it| is_offered(head.headers.get_all(UPGRADE), &it))
        && Length::of(&head.headers, 0, None).is_some_and(Length::is_zero)
}

/// Answers a request without an offer that could be taken.
fn upgrade_required(missing: Missing, head: &request::Parts) -> Rejection {
    let (status, text) = match missing {
        // Other versions have no `Upgrade`, which a 426 has to have.
        Missing::Offer if head.version != Version::HTTP_11 => {
            (StatusCode::BAD_REQUEST, UPGRADE_REQUIRED)
        }
        Missing::Offer => (StatusCode::UPGRADE_REQUIRED, UPGRADE_REQUIRED),
        Missing::Layer => (StatusCode::UPGRADE_REQUIRED, NO_LAYER),
        // RFC 9220 §3.
        Missing::ExtendedConnect => (StatusCode::NOT_IMPLEMENTED, NO_EXTENDED_CONNECT),
        Missing::Protocol => (StatusCode::NOT_IMPLEMENTED, UPGRADE_REQUIRED),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    }
    Rejection::from(response).with_reason("offer")
}

const WEBSOCKET: &str = "websocket";

const UPGRADE_REQUIRED: &str = "this path is a WebSocket: connect with a WebSocket client\n";

const NO_LAYER: &str =
    "this path is a WebSocket, but no `UpgradeLayer::on_inner(\"websocket\")` wraps it\n";

const NO_EXTENDED_CONNECT: &str = "this path is a WebSocket, but no `UpgradeLayer::extended_connect` \
                                   with `on_inner(\"websocket\")` wraps it\n";
