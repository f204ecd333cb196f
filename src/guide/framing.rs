//! Framing crates: three lines that give each an [`Upgraded`](crate::Upgraded), as a server.
//!
//! The handshake is done by then, so take the function of the crate that goes on without one.
//!
//! | crate | choose it for | mind |
//! |---|---|---|
//! | tokio-websockets | strictness; a read can be cancelled, so it works in `select!` | |
//! | tokio-tungstenite | the API that most code uses, in clients and servers | `read_buffer_size` |
//! | fastwebsockets | little work for each message | `FragmentCollector`; a cancelled read loses bytes |
//! | yawc | permessage-deflate | `with_limits`, `with_compression_threshold(1)` |
//!
//! The example `frames` runs all four, and Autobahn runs against tokio-websockets and yawc.
//!
//! # tokio-websockets
//!
//! ```
//! use tokio_websockets::{Limits, ServerBuilder, WebSocketStream};
//! use tower_upgrade::Upgraded;
//!
//! fn socket(io: Upgraded) -> WebSocketStream<Upgraded> {
//!     let limits = Limits::default().max_payload_len(Some(64 * 1024));
//!     ServerBuilder::new().limits(limits).serve(io)
//! }
//! # let _ = socket;
//! ```
//!
//! # tokio-tungstenite
//!
//! Every read fills its buffer with zeros first, 128 KiB by default. Choose a smaller one.
//!
//! ```
//! use tokio_tungstenite::{
//!     WebSocketStream,
//!     tungstenite::protocol::{Role, WebSocketConfig},
//! };
//! use tower_upgrade::Upgraded;
//!
//! async fn socket(io: Upgraded) -> WebSocketStream<Upgraded> {
//!     let config = WebSocketConfig::default().read_buffer_size(8 * 1024);
//!     WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
//! }
//! # let _ = socket;
//! ```
//!
//! # fastwebsockets
//!
//! ```
//! use fastwebsockets::{FragmentCollector, Role, WebSocket};
//! use tower_upgrade::Upgraded;
//!
//! fn socket(io: Upgraded) -> FragmentCollector<Upgraded> {
//!     FragmentCollector::new(WebSocket::after_handshake(io, Role::Server))
//! }
//! # let _ = socket;
//! ```
//!
//! # yawc, with compression
//!
//! The handshake agrees to permessage-deflate with `Offer::agree_extensions` or
//! `WebSocket::agree_extensions`; `deflate.rs` of the example `frames` answers offers as far as yawc
//! implements them. Without an agreement, messages are not compressed. With yawc 0.5, leave empty messages
//! uncompressed: to compress one after another message never ends.
//!
//! ```
//! use tower_upgrade::{Upgraded, websocket::Agreed};
//! use yawc::{Options, Role, WebSocket, WebSocketError};
//!
//! fn socket(io: Upgraded, agreed: &Agreed) -> Result<WebSocket<Upgraded>, WebSocketError> {
//!     let extensions = agreed.extensions.as_ref().and_then(|value| value.to_str().ok());
//!     let options = Options::default().with_balanced_compression().with_compression_threshold(1);
//!     WebSocket::from_stream_with_extensions(io, Role::Server, extensions, options)
//! }
//! # let _ = socket;
//! ```
//!
//! # At the end
//!
//! Set `TCP_NODELAY` on the sockets that the server accepts, or a small message waits for the
//! acknowledgement of the one before. After the close frame, call
//! [`Upgraded::close`](crate::Upgraded::close) on the connection, so that the client receives it.
