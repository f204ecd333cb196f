//! Migration from the `upgrade` module of fastwebsockets: a WebSocket at `/echo` on a hyper server.
//!
//! Keep fastwebsockets for the frames, and drop its feature `upgrade`.
//!
//! # With fastwebsockets
//!
//! ```
#![doc = include_str!("fastwebsockets/theirs.rs")]
//! ```
//!
//! # With this crate
//!
//! ```
#![doc = include_str!("fastwebsockets/ours.rs")]
//! ```
//!
//! # Line by line
//!
//! | fastwebsockets | this crate |
//! |---|---|
//! | `is_upgrade_request(&request)` | [`on`](crate::UpgradeLayer::on)`("websocket", …)` on the layer |
//! | a test of the path | [`when`](crate::UpgradeHandler::when) |
//! | `upgrade(&mut request)` | [`WebSocket::new`](crate::websocket::WebSocket::new) |
//! | `socket.await?` makes a `WebSocket` | `fastwebsockets::WebSocket::after_handshake(io, Role::Server)` |
//! | `tokio::spawn` | the layer spawns the task, counts it, and ends it at a shutdown |
//! | `IncomingUpgrade` as an extractor of axum | [`Offer`](crate::websocket::Offer) |
//! | a check of `Origin` by hand | [`WebSocket::origins`](crate::websocket::WebSocket::origins), pages of the same host by default |
//! | `Sec-WebSocket-Protocol` by hand | [`WebSocket::subprotocols`](crate::websocket::WebSocket::subprotocols) |
//! | an answer instead of the 101 | [`WebSocket::on_connect`](crate::websocket::WebSocket::on_connect) |
//!
//! # What changes for clients
//!
//! fastwebsockets looks at `Sec-WebSocket-Key`, `Sec-WebSocket-Version`, `Connection` and `Upgrade`. This
//! crate checks the [whole handshake](crate::websocket):
//!
//! | request | fastwebsockets | this crate |
//! |---|---|---|
//! | a page of another origin | 101 | 403 |
//! | `Sec-WebSocket-Version` is not 13 | 400 | 426 and `Sec-WebSocket-Version: 13` |
//! | a key that is not the base64 of 16 bytes, or two keys | 101 | 400 |
//! | no `Host` | 101 | 400 |
//! | another method than GET | 101 | 405 |
//! | HTTP/1.0, or with a body | 101 | forwarded to your service |
