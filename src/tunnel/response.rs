//! The upstream's answer: whether it has switched, and what of it goes down.

use http::{
    HeaderMap, Version,
    header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, UPGRADE},
    response,
};

use super::{headers::end_to_end, request::Asked};
use crate::negotiation::{
    connection,
    protocol::{Offer, Protocol},
    visit_members,
};

/// Why a 101 is not the one that was asked for.
pub(super) fn mismatch(
    head: &response::Parts,
    asked: &Asked,
    protocol: &Protocol<'_>,
) -> Option<&'static str> {
    let headers = &head.headers;
    // RFC 9110 §7.8: HTTP/1.0 has no upgrades.
    if head.version != Version::HTTP_11 {
        return Some("it is not HTTP/1.1");
    }
    if !connection::names_connection_option(headers, "upgrade") {
        return Some("`Connection` has no option `upgrade`");
    }
    if !is_only(headers, protocol) {
        return Some("`Upgrade` is not exactly the protocol that was asked for");
    }
    let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    match (&asked.accept, accepts.next(), accepts.next()) {
        (None, ..) => None,
        (Some(expected), Some(accept), None) if accept.as_bytes().trim_ascii() == expected => None,
        _ => Some("`Sec-WebSocket-Accept` does not answer the key"),
    }
}

/// Whether `Upgrade` names this protocol, and nothing else.
fn is_only(headers: &HeaderMap, protocol: &Protocol<'_>) -> bool {
    let mut named = 0;
    let well_formed = visit_members(headers, UPGRADE, |member| {
        named += 1;
        Offer::parse(member).filter(|&offer| protocol.is_offered_by(offer)).map(drop)
    });
    well_formed.is_some() && named == 1
}

/// Returns the headers of the upstream's 101 that go down.
pub(super) fn switching(head: &response::Parts, is_connect: bool) -> HeaderMap {
    // RFC 9110 §8.6, and RFC 8441 §5: the client of an extended CONNECT sent no key.
    let except = [CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT];
    end_to_end(&head.headers, if is_connect { &except } else { &except[..1] })
}
