//! Framing crates for WebSocket: three lines that give each an [`Upgraded`](crate::Upgraded), as a server.
//!
//! The layer has done the handshake. Call the function of the framing crate that begins after it.
//!
//! | crate | choose it for | mind |
//! |---|---|---|
//! | tokio-websockets | strictness; a read can be cancelled, so it works in `select!` | `Limits` |
//! | tokio-tungstenite | the API that most code uses, in clients and servers | `read_buffer_size`, `max_message_size` |
//! | fastwebsockets | little work for each message | `FragmentCollector`, `set_max_message_size`; a cancelled read loses bytes |
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
//! Before each read, tungstenite 0.30 fills `read_buffer_size` bytes with zeros: 128 KiB by default, even for
//! a message of 10 bytes. Each connection keeps a buffer of that size, too. Choose a smaller one. A message
//! may have 64 MiB by default, which `max_message_size` lowers.
//!
//! ```
//! use tokio_tungstenite::{
//!     WebSocketStream,
//!     tungstenite::protocol::{Role, WebSocketConfig},
//! };
//! use tower_upgrade::Upgraded;
//!
//! fn config() -> WebSocketConfig {
//!     WebSocketConfig::default().read_buffer_size(8 * 1024).max_message_size(Some(64 * 1024))
//! }
//!
//! async fn socket(io: Upgraded) -> WebSocketStream<Upgraded> {
//!     WebSocketStream::from_raw_socket(io, Role::Server, Some(config())).await
//! }
//! # let _ = socket;
//! # // Records how many bytes a read asks for, and returns EOF.
//! # struct Recorder(usize);
//! # impl std::io::Read for Recorder {
//! #     fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
//! #         self.0 = buffer.len();
//! #         Ok(0)
//! #     }
//! # }
//! # impl std::io::Write for Recorder {
//! #     fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
//! #         Ok(bytes.len())
//! #     }
//! #     fn flush(&mut self) -> std::io::Result<()> {
//! #         Ok(())
//! #     }
//! # }
//! # let read_size = |config: WebSocketConfig| {
//! #     use tokio_tungstenite::tungstenite::WebSocket;
//! #     let mut socket = WebSocket::from_raw_socket(Recorder(0), Role::Server, Some(config));
//! #     socket.read().unwrap_err();
//! #     socket.get_ref().0
//! # };
//!
//! // `read_size` reads from a mock, which records the size of the buffer that it gets.
//! assert_eq!(read_size(WebSocketConfig::default()), 128 * 1024);
//! assert_eq!(read_size(config()), 8 * 1024);
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
//! uncompressed: it never finishes to compress one that follows another message.
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
//! # Small messages and the close
//!
//! Set `TCP_NODELAY` on the sockets that the server accepts, or a small message waits for the
//! acknowledgement of the one before. After the close frame, call
//! [`Upgraded::close`](crate::Upgraded::close) on the connection, so that the client receives it.
