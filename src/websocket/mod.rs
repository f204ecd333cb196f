//! WebSocket: the opening handshake of RFC 6455 and RFC 8441, for any framing crate.
//!
//! There are three ways to use it:
//!
//! - In axum, take an [`Offer`] as an extractor, below
//!   [`UpgradeLayer::on_inner`](crate::UpgradeLayer::on_inner).
//! - In a handler or a service of your own, make an [`Offer`] from the head of a request, decide, and
//!   [switch](Offer::switch).
//! - [`WebSocket`] is a handler that is configured once and registered as `"websocket"`.
//!
//! All do the same checks. A request that fails one is rejected:
//!
//! | check | rejected with | reason in logs and metrics |
//! |---|---|---|
//! | the method is GET | 405 and `Allow: GET` | `method` |
//! | `Host` is there exactly once and well-formed | 400 | `host` |
//! | `Sec-WebSocket-Version` is there exactly once and well-formed | 400 | `version` |
//! | the version is 13 | 426 and `Sec-WebSocket-Version: 13` | `version` |
//! | `Sec-WebSocket-Key` is there exactly once and is the base64 of 16 bytes | 400 | `key` |
//! | the [origin](Origins) is allowed | 403 | `origin` |
//! | `Sec-WebSocket-Extensions` is well-formed and within the limits, if the handler agrees to extensions | 400 | `extensions` |
//!
//! With the feature `axum`, a handler that takes an `Offer` also rejects requests without an offer, and
//! requests for which no layer asks it: with 426, and in HTTP/2 with 400 or 501. The reason is `offer`.
//!
//! # HTTP/2
//!
//! With [`UpgradeLayer::extended_connect`](crate::UpgradeLayer::extended_connect), clients also open a
//! WebSocket on a stream of HTTP/2 (RFC 8441). The same code answers them. The handshake differs from the
//! table in four points:
//!
//! - The method is an extended CONNECT with `:protocol` `websocket`. Any other gets 405 and `Allow: CONNECT`.
//! - The host is `:authority`, with which the origin is compared. A `Host` header may be missing, and has to
//!   be the same if it is there.
//! - There is no `Sec-WebSocket-Key` and no `Sec-WebSocket-Accept`.
//! - Another version than 13 gets 400, because a 426 would need an `Upgrade` header.
//!
//! A `Sec-WebSocket-Protocol` or `Sec-WebSocket-Extensions` header that the handler does not use
//! never fails a handshake. An empty one counts as absent. Offered subprotocols that are not tokens
//! (RFC 9110 §5.6.2) and repeated ones are left out, and so is the whole list if it has more than
//! 64 members or more than 8 KiB.

mod checks;
mod extensions;
mod handler;
pub(crate) mod key;
mod listed;
mod offer;
mod origin;
mod origins;
mod subprotocols;

pub use self::{
    handler::{Handshake, WebSocket},
    offer::{Agreed, Offer},
    origin::Origin,
    origins::Origins,
};
