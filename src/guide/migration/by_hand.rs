//! Migration from an upgrade by hand: `hyper::upgrade::on` and a 101 of your own, for a protocol `echo/1`.
//!
//! # By hand
//!
//! ```
#![doc = include_str!("by_hand/theirs.rs")]
//! ```
//!
//! # With this crate
//!
//! ```
#![doc = include_str!("by_hand/ours.rs")]
//! ```
//!
//! # Line by line
//!
//! | by hand | this crate |
//! |---|---|
//! | a comparison of the `Upgrade` header | [`on`](crate::UpgradeLayer::on)`("echo/1", …)`, which reads the whole list |
//! | a 101 with `Connection` and `Upgrade` | [`Switch::to`](crate::Switch::to) |
//! | other headers on the 101 | [`Switch::header`](crate::Switch::header) |
//! | another answer | `Err` of a status, of a status and a text, or of a [`Rejection`](crate::Rejection) |
//! | `tokio::spawn`, `hyper::upgrade::on(request).await` | the layer does both, with a [time limit](crate::UpgradeLayer::handshake_timeout) |
//! | `TokioIo::new(upgraded)` | [`Upgraded`](crate::Upgraded), which has tokio's traits |
//! | `upgraded.downcast::<TokioIo<TcpStream>>()` | [`Upgraded::downcast`](crate::Upgraded::downcast)`::<TcpStream>()` |
//! | reading the request's body | [`with_body_limit`](crate::UpgradeHandler::with_body_limit): the layer reads it before the 101 |
//!
//! # What changes for clients
//!
//! | request | by hand, as above | this crate |
//! |---|---|---|
//! | `Upgrade: echo/2, echo/1`, a list | not switched | 101 |
//! | `Upgrade: ECHO/1` | not switched | 101: names match without regard to case (RFC 9110 §7.8) |
//! | no option `upgrade` in `Connection` | 101 | forwarded (RFC 9110 §7.8) |
//! | HTTP/1.0 | 101 | forwarded |
//! | with a body | 101, without waiting for the body | forwarded, unless the handler has a body limit |
//!
//! The last row is a [request smuggling](crate::guide::security) hole when an unread body is taken for bytes
//! of the new protocol.
