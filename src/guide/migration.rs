//! Migration: from axum's `WebSocketUpgrade`, line by line.
//!
//! | axum's `WebSocketUpgrade` | this crate |
//! |---|---|
//! | nothing | `.layer(UpgradeLayer::new().on_inner("websocket").for_axum())` after the routes, `.layer(UpgradeLayer::outermost())` after all layers |
//! | `ws: WebSocketUpgrade` | `ws: websocket::Offer` |
//! | `ws: Result<WebSocketUpgrade, WebSocketUpgradeRejection>` | `ws: Option<Offer>`: a page and a socket share a path |
//! | `-> Response` | `-> Switch`, or a `Result` of it |
//! | `ws.protocols(["a"])` | `ws.subprotocols(["a"])` |
//! | `ws.on_upgrade(\|socket\| run(socket))` | `ws.switch(\|io, agreed\| run(io))` |
//! | `ws.requested_protocols()`, `ws.set_selected_protocol(name)` | `ws.offered_subprotocols()`, `ws.select_subprotocol(\|offered\| …)` |
//! | `socket.protocol()` | `agreed.subprotocol` |
//! | `async fn run(socket: WebSocket)` | `async fn run(io: Upgraded) -> Result<(), Error>`: an error goes to `on_failure` and to the log |
//! | `socket.recv()`, `socket.send(message)` | `next()` or `try_next()`, and `send()`, of `futures_util` |
//! | `ws.max_message_size(n)`, `max_frame_size`, buffer sizes | settings of the framing crate |
//! | `ws.on_failed_upgrade(f)` for each socket | `UpgradeLayer::on_failure(f)` once; it also hears errors and panics of what runs |
//! | a check of `Origin` by hand | done: pages of the same host, or `Extension(Origins::list(…))` |
//! | no limit | `UpgradeLayer::max_connections(n)` |
//! | sockets over HTTP/2 are answered | `UpgradeLayer::extended_connect()` |
//! | a shutdown leaves sockets behind | `UpgradeLayer::connections()`, which drains and aborts |
//!
//! axum's sockets are tungstenite's. To keep most of the code of the messages, add tungstenite and begin
//! with this:
//!
//! ```sh
//! cargo add tokio-tungstenite --no-default-features
//! ```
//!
//! ```
//! use futures_util::{SinkExt, StreamExt};
//! use tokio_tungstenite::{
//!     WebSocketStream,
//!     tungstenite::{
//!         Error,
//!         protocol::{Role, WebSocketConfig},
//!     },
//! };
//! use tower_upgrade::Upgraded;
//!
//! async fn run(io: Upgraded) -> Result<(), Error> {
//!     let config = WebSocketConfig::default()
//!         .read_buffer_size(8 * 1024)
//!         .max_message_size(Some(64 * 1024));
//!     let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
//!     while let Some(message) = socket.next().await {
//!         let message = message?;
//!         if message.is_text() {
//!             socket.send(message).await?;
//!         }
//!     }
//!     Ok(())
//! }
//! # let _ = run;
//! ```
//!
//! `socket.recv()` becomes `socket.next()`, and `Message` and `Error` come from `tungstenite`.
//!
//! Both can stand in one `Router`: axum's extractor still works below the layer.
//!
//! `tests/it/migration` in the repository is one app in both ways, under the same tests.
