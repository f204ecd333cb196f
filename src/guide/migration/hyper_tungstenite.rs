//! Migration from hyper-tungstenite: a WebSocket at `/echo` on a hyper server.
//!
//! # With hyper-tungstenite
//!
//! ```
#![doc = include_str!("hyper_tungstenite/theirs.rs")]
//! ```
//!
//! # With this crate
//!
//! ```
#![doc = include_str!("hyper_tungstenite/ours.rs")]
//! ```
//!
//! # Line by line
//!
//! | hyper-tungstenite | this crate |
//! |---|---|
//! | `is_upgrade_request(&request)` | [`on`](crate::UpgradeLayer::on)`("websocket", …)` on the layer |
//! | a test of the path | [`when`](crate::UpgradeHandler::when) |
//! | `upgrade(&mut request, config)` | [`WebSocket::new`](crate::websocket::WebSocket::new) |
//! | `config` | the last argument of `WebSocketStream::from_raw_socket` |
//! | `tokio::spawn` | the layer spawns the task, counts it, and ends it at a shutdown |
//! | `socket.await?` | the function gets the connection when the 101 is sent |
//! | a check of `Origin` by hand | [`WebSocket::origins`](crate::websocket::WebSocket::origins), pages of the same host by default |
//! | `Sec-WebSocket-Protocol` by hand | [`WebSocket::subprotocols`](crate::websocket::WebSocket::subprotocols) |
//! | an answer instead of the 101 | [`WebSocket::on_connect`](crate::websocket::WebSocket::on_connect) |
//!
//! # What changes for clients
//!
//! hyper-tungstenite looks at `Sec-WebSocket-Key`, `Sec-WebSocket-Version`, `Connection` and `Upgrade`. This
//! crate checks the [whole handshake](crate::websocket):
//!
//! | request | hyper-tungstenite | this crate |
//! |---|---|---|
//! | a page of another origin | 101 | 403 |
//! | `Sec-WebSocket-Version` is not 13 | 400 | 426 and `Sec-WebSocket-Version: 13` |
//! | a key that is not the base64 of 16 bytes, or two keys | 101 | 400 |
//! | no `Host` | 101 | 400 |
//! | another method than GET | 101 | 405 |
//! | HTTP/1.0, or with a body | 101 | forwarded to your service |
