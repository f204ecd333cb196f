//! The agreed protocol as an extractor, for protocols of one's own.

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{Response, StatusCode, request};
use http_body_util::Full;

use crate::{
    connect,
    handler::{answer::Link, rejection::Rejection},
    negotiation::protocol::Protocol,
};

/// Takes the protocol that [`UpgradeLayer::on_inner`](crate::UpgradeLayer::on_inner) agreed on, for a
/// handler that returns a [`Switch`](crate::Switch).
///
/// It can be any protocol that the layer has registered. A handler for one of them compares
/// [`Protocol::name`]. It is never WebSocket, whose handshake and `Origin` only a `websocket::Offer` checks.
///
/// A request without one is rejected: with 400, and an extended CONNECT with 501. With
/// [`UpgradeLayer::required`](crate::UpgradeLayer::required) on the route, the layer answers 426 instead,
/// with the protocols that a client can ask for.
impl<S> FromRequestParts<S> for Protocol<'static>
where
    S: Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(head: &mut request::Parts, _state: &S) -> Result<Self, Rejection> {
        // No 426: it needs an `Upgrade` header with the protocols, which are not known here.
        agreed(head)?.ok_or_else(|| rejection(StatusCode::BAD_REQUEST))
    }
}

/// Takes the agreed protocol if there is one, so that a page and a protocol can share a path. An extended
/// CONNECT without one is rejected with 501.
impl<S> OptionalFromRequestParts<S> for Protocol<'static>
where
    S: Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(
        head: &mut request::Parts,
        _state: &S,
    ) -> Result<Option<Self>, Rejection> {
        agreed(head)
    }
}

/// Returns the protocol to which a layer waits for a switch.
fn agreed(head: &request::Parts) -> Result<Option<Protocol<'static>>, Rejection> {
    let agreed = head.extensions.get().and_then(Link::protocol).filter(|it| !it.is_websocket());
    if agreed.is_none() && connect::protocol(head).is_some() {
        // A page would be a 2xx, which opens the tunnel of a CONNECT.
        return Err(rejection(StatusCode::NOT_IMPLEMENTED));
    }
    Ok(agreed)
}

fn rejection(status: StatusCode) -> Rejection {
    let mut response = Response::new(Full::from(NO_OFFER));
    *response.status_mut() = status;
    Rejection::from(response).with_reason("offer")
}

const NO_OFFER: &str = "this path speaks another protocol: send `Connection: upgrade` and `Upgrade` with its \
                        name, and no body; an `UpgradeLayer::on_inner` around the path has to register it\n";
