//! Migration: from axum's `WebSocketUpgrade`, line by line.
//!
//! | axum's `WebSocketUpgrade` | this crate |
//! |---|---|
//! | nothing | `.layer(UpgradeLayer::new().on_inner("websocket").for_axum())` after the routes, `.layer(UpgradeLayer::outermost())` after all layers |
//! | `ws: WebSocketUpgrade` | `ws: websocket::Offer` |
//! | `Option<WebSocketUpgrade>` does not exist | `ws: Option<Offer>`: a page and a socket share a path |
//! | `-> Response` | `-> Switch`, or a `Result` of it |
//! | `ws.protocols(["a"])` | `ws.subprotocols(["a"])` |
//! | `ws.on_upgrade(\|socket\| run(socket))` | `ws.switch(\|io, agreed\| run(io))` |
//! | `ws.requested_protocols()`, `ws.set_selected_protocol(name)` | `ws.offered_subprotocols()`, `ws.select_subprotocol(\|offered\| …)` |
//! | `socket.protocol()` | `agreed.subprotocol` |
//! | `async fn run(socket: WebSocket)` | `async fn run(io: Upgraded) -> Result<(), Error>`: an error goes to `on_failure` and to the log |
//! | `socket.recv()`, `socket.send(message)` | those of the framing crate |
//! | `ws.max_message_size(n)`, `max_frame_size`, buffer sizes | settings of the framing crate |
//! | `ws.on_failed_upgrade(f)` for each socket | `UpgradeLayer::on_failure(f)` once; it also hears errors and panics of what runs |
//! | a check of `Origin` by hand | done: pages of the same host, or `Extension(Origins::list(…))` |
//! | no limit | `UpgradeLayer::max_connections(n)` |
//! | a shutdown leaves sockets behind | `UpgradeLayer::connections()`, which drains and aborts |
//!
//! `axum::extract::ws` sockets are tungstenite's. `tokio_tungstenite::WebSocketStream::from_raw_socket` gives
//! the same on an [`Upgraded`](crate::Upgraded), so that the code of the messages can stay.
//!
//! Both can stand in one `Router`: axum's extractor still works below the layer.
//!
//! What stays with axum: over HTTP/2, `WebSocketUpgrade` answers extended CONNECT, and this crate forwards
//! it.
//!
//! `tests/it/migration` in the repository is one app in both ways, under the same tests.
