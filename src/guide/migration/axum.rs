//! Migration from axum's `WebSocketUpgrade`, line by line.
//!
//! Both servers below pass the same checks of a client.
//!
//! # With `WebSocketUpgrade`
//!
//! ```
//! use axum::{
//!     Router,
//!     extract::{
//!         Path,
//!         ws::{Message, WebSocket, WebSocketUpgrade},
//!     },
//!     response::Response,
//!     routing::any,
//! };
//!
//! fn app() -> Router {
//!     Router::new().route("/rooms/{room}", any(room))
//! }
//!
//! async fn room(ws: WebSocketUpgrade, Path(room): Path<String>) -> Response {
//!     ws.protocols(["chat.v2", "chat.v1"]).on_upgrade(move |socket| talk(socket, room))
//! }
//!
//! async fn talk(mut socket: WebSocket, room: String) {
//!     let version = socket.protocol().and_then(|name| name.to_str().ok()).unwrap_or("none");
//!     let version = version.to_owned();
//!     while let Some(Ok(message)) = socket.recv().await {
//!         let Message::Text(text) = message else { continue };
//!         if socket.send(Message::text(format!("{room} {version}: {text}"))).await.is_err() {
//!             return;
//!         }
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     use futures_util::{SinkExt as _, StreamExt as _};
//! #     use tokio_tungstenite::tungstenite::{Message as Sent, client::IntoClientRequest};
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let address = listener.local_addr()?;
//! #     tokio::spawn(async { axum::serve(listener, app()).await });
//! #     let mut request = format!("ws://{address}/rooms/lobby").into_client_request()?;
//! #     request.headers_mut().insert("sec-websocket-protocol", "chat.v1, chat.v2".parse()?);
//! #     let io = tokio::net::TcpStream::connect(address).await?;
//! #     let (mut socket, response) = tokio_tungstenite::client_async(request, io).await?;
//! #     assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v2");
//! #     socket.send(Sent::text("hello")).await?;
//! #     assert_eq!(socket.next().await.unwrap()?, Sent::text("lobby chat.v2: hello"));
//! #     socket.close(None).await?;
//! #     assert!(socket.next().await.unwrap()?.is_close());
//! #     Ok(())
//! # }
//! ```
//!
//! # With this crate
//!
//! ```
//! use axum::{Router, extract::Path, routing::any};
//! use futures_util::{SinkExt, TryStreamExt};
//! use tokio_tungstenite::{
//!     WebSocketStream,
//!     tungstenite::{Error, Message, protocol::Role},
//! };
//! use tower_upgrade::{Switch, UpgradeLayer, Upgraded, websocket::Offer};
//!
//! fn app() -> Router {
//!     Router::new()
//!         .route("/rooms/{room}", any(room))
//!         .layer(UpgradeLayer::new().on_inner("websocket").for_axum())
//!         .layer(UpgradeLayer::outermost())
//! }
//!
//! async fn room(ws: Offer, Path(room): Path<String>) -> Switch {
//!     ws.subprotocols(["chat.v2", "chat.v1"]).switch(async move |io, agreed| {
//!         talk(io, room, agreed.subprotocol.unwrap_or_else(|| "none".into())).await
//!     })
//! }
//!
//! async fn talk(io: Upgraded, room: String, version: String) -> Result<(), Error> {
//!     let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
//!     while let Some(message) = socket.try_next().await? {
//!         let Message::Text(text) = message else { continue };
//!         socket.send(Message::text(format!("{room} {version}: {text}"))).await?;
//!     }
//!     Ok(())
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     use futures_util::{SinkExt as _, StreamExt as _};
//! #     use tokio_tungstenite::tungstenite::{Message as Sent, client::IntoClientRequest};
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let address = listener.local_addr()?;
//! #     tokio::spawn(async { axum::serve(listener, app()).await });
//! #     let mut request = format!("ws://{address}/rooms/lobby").into_client_request()?;
//! #     request.headers_mut().insert("sec-websocket-protocol", "chat.v1, chat.v2".parse()?);
//! #     let io = tokio::net::TcpStream::connect(address).await?;
//! #     let (mut socket, response) = tokio_tungstenite::client_async(request, io).await?;
//! #     assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v2");
//! #     socket.send(Sent::text("hello")).await?;
//! #     assert_eq!(socket.next().await.unwrap()?, Sent::text("lobby chat.v2: hello"));
//! #     socket.close(None).await?;
//! #     assert!(socket.next().await.unwrap()?.is_close());
//! #     Ok(())
//! # }
//! ```
//!
//! axum's sockets are tungstenite's, so tokio-tungstenite keeps most of the code of the messages: `Message`
//! and `Error` come from `tungstenite`, and `socket.recv()` becomes `socket.try_next()`. Add it with
//! `cargo add tokio-tungstenite --no-default-features`. [`guide::framing`](crate::guide::framing) has its
//! settings, and the other framing crates.
//!
//! # Line by line
//!
//! | axum's `WebSocketUpgrade` | this crate |
//! |---|---|
//! | no layer | `.layer(UpgradeLayer::new().on_inner("websocket").for_axum())` after the routes, `.layer(UpgradeLayer::outermost())` after all layers |
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
//! | `ws.on_failed_upgrade(f)` for each socket | `UpgradeLayer::on_failure(f)` once; it also receives the errors and panics of the function on the connection |
//! | a check of `Origin` by hand | checked by default: pages of the same host may connect, or `Extension(Origins::list(…))` |
//! | no limit on connections | `UpgradeLayer::max_connections(n)` |
//! | sockets over HTTP/2 are answered | `UpgradeLayer::extended_connect()` |
//! | a shutdown leaves sockets behind | `UpgradeLayer::connections()`, which drains and aborts |
//!
//! Both can stand in one `Router`: axum's extractor still works below the layer. So an app can move one route
//! after the other.
//!
//! # What changes for clients
//!
//! | request | axum | this crate |
//! |---|---|---|
//! | a page of another origin | switched | 403 |
//! | `Sec-WebSocket-Version` is not 13 | 400 | 426 and `Sec-WebSocket-Version: 13` |
//! | no offer of a WebSocket | 400 | 426 |
//!
//! `tests/it/migration` in the repository is a larger app in both ways, under the same tests: with state,
//! a query, the peer's address, a session cookie, a message limit, and over HTTP/2.
