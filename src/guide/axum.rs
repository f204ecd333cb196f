//! axum: a WebSocket in a `Router`, and where the layer goes.
//!
//! ```sh
//! cargo add axum --features http2
//! cargo add tokio --features full
//! cargo add futures-util --features sink
//! cargo add tower-upgrade --features axum,websocket,tracing
//! cargo add tokio-websockets --features server,sha1_smol
//! ```
//!
//! # A page and a socket on one path
//!
//! The handler is an axum handler. State, path parameters and other extractors work, and middleware sees the
//! request first. `Option<Offer>` is `None` for a request without an offer. A malformed offer is rejected.
//!
#![cfg_attr(all(feature = "axum", feature = "websocket"), doc = "```")]
#![cfg_attr(not(all(feature = "axum", feature = "websocket")), doc = "```ignore")]
//! use axum::{
//!     Router,
//!     extract::{Path, State},
//!     http::{HeaderMap, StatusCode},
//!     response::{IntoResponse, Response},
//!     routing::any,
//! };
//! use futures_util::SinkExt;
//! use tokio_websockets::{Error, Message, ServerBuilder};
//! use tower_upgrade::{UpgradeLayer, Upgraded, websocket::Offer};
//! # use futures_util::StreamExt;
//! # use tokio_tungstenite::tungstenite::client::IntoClientRequest;
//!
//! async fn room(
//!     ws: Option<Offer>,
//!     Path(room): Path<String>,
//!     State(greeting): State<&'static str>,
//!     headers: HeaderMap,
//! ) -> Result<Response, StatusCode> {
//!     let Some(ws) = ws else {
//!         return Ok(format!("the page of {room}").into_response());
//!     };
//!     if !headers.contains_key("cookie") {
//!         return Err(StatusCode::UNAUTHORIZED);
//!     }
//!     Ok(ws.switch(move |io, _agreed| greet(io, format!("{greeting}, {room}"))).into_response())
//! }
//!
//! async fn greet(io: Upgraded, text: String) -> Result<(), Error> {
//!     let mut socket = ServerBuilder::new().serve(io);
//!     socket.send(Message::text(text)).await?;
//!     socket.close().await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app = Router::new()
//!     .route("/rooms/{room}", any(room))
//!     .with_state("hello")
//!     .layer(UpgradeLayer::new().on_inner("websocket").extended_connect().for_axum())
//!     // Layers for tracing, compression and so on go here.
//!     .layer(UpgradeLayer::outermost());
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! # tokio::spawn(async { axum::serve(listener, app).await });
//! # let connect = async |cookie: Option<&'static str>| {
//! #     let mut request = format!("ws://{address}/rooms/lobby").into_client_request().unwrap();
//! #     if let Some(cookie) = cookie {
//! #         request.headers_mut().insert("cookie", cookie.parse().unwrap());
//! #     }
//! #     let io = tokio::net::TcpStream::connect(address).await.unwrap();
//! #     tokio_tungstenite::client_async(request, io).await
//! # };
//!
//! // `connect` opens a WebSocket at `/rooms/lobby`, with these cookies.
//! let (mut socket, _response) = connect(Some("session=7")).await?;
//! assert_eq!(socket.next().await.unwrap()?, "hello, lobby".into());
//! let error = connect(None).await.unwrap_err();
//! assert_eq!(error.to_string(), "HTTP error: 401 Unauthorized");
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # let mut page = tokio::net::TcpStream::connect(address).await?;
//! # page.write_all(b"GET /rooms/lobby HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await?;
//! # let mut answer = String::new();
//! # page.read_to_string(&mut answer).await?;
//! # assert!(answer.ends_with("\r\n\r\nthe page of lobby"));
//! # Ok(())
//! # }
//! ```
//!
//! - A handler that takes `Offer`, without `Option`, answers 426 to requests without an offer.
//! - `any(…)` also routes a WebSocket over HTTP/2, whose method is CONNECT. `get(…)` answers it with 405.
//! - `Extension(Origins::list(…))` sets which pages may connect, for the routes that it wraps.
//! - A socket function's error goes to [`on_failure`](crate::UpgradeLayer::on_failure), and to the log.
//! - For a protocol of your own, take [`Protocol<'static>`](crate::Protocol) and return a
//!   [`Switch`](crate::Switch), below [`on_inner`](crate::UpgradeLayer::on_inner) with its name. It can be any
//!   protocol that is registered, except WebSocket: with several, compare [`name`](crate::Protocol::name).
//!   `Option` shares a path with a page, as above. A request without the offer is answered with 400. A handler
//!   that returns a `Switch` without asking for the protocol answers it with 500.
//!
//! # Where the layer goes
//!
//! | place | a handler given to [`on`](crate::UpgradeLayer::on) is asked for | [`on_inner`](crate::UpgradeLayer::on_inner) switches |
//! |---|---|---|
//! | around a whole `Router`: `axum::serve(listener, layer.for_axum().layer(router).into_make_service())` | every request | where a route returns a `Switch` |
//! | `Router::layer` | every request, also for paths without a route | where a route returns a `Switch` |
//! | `Router::route_layer` | every method of the paths that have a route | where a route returns a `Switch` |
//! | `MethodRouter::layer`, as in `get(page).layer(layer)` | every method of that path, also those that get 405 | where the route returns a `Switch` |
//! | `MethodRouter::route_layer` | the methods of that route | where the route returns a `Switch` |
//! | `Router::route_service` | every method of that path | where the service returns a `Switch` |
//! | `Router::fallback_service` | the paths without a route | where the service returns a `Switch` |
//! | on a `Router` that is given to `Router::nest` | the paths below the prefix that have a route; all of them if the nested `Router` has a fallback of its own | where a route returns a `Switch` |
//! | `Router::nest_service` | every path below the prefix | where the service returns a `Switch` |
//! | on a `Router` that is given to `Router::merge` | the same requests as without merging, and the paths without a route | where a route returns a `Switch` |
//!
//! Below `nest`, a handler sees the path without the prefix.
//!
//! `tests/it/placement.rs` in the repository tries each row.
//!
//! # How to choose
//!
//! - For WebSockets on axum routes: `on_inner` and `Router::layer`, once for the whole app. Paths, methods
//!   and extractors stay where they are.
//! - For a handler that answers on one path: `on` with [`when`](crate::UpgradeHandler::when), or an
//!   `UpgradeLayer` of its own, given to `route_service` by `into_service`.
//! - For both on one protocol, such as rooms on axum routes and a tunnel for one prefix: register the narrower
//!   one first. The first that accepts a request gets it.
//! - For HTTP/2 by upgrade: around the whole `Router`. Behind the routing, the path parameters of the
//!   first request would stand in the extensions of every later one.
//!
//! # The body type
//!
//! `UpgradeLayer::for_axum` has the layer answer with axum's body. Call it for a layer around a whole
//! `Router`, where `axum::serve` needs it. On a `Router` it saves an allocation for each response.
//!
//! # The cost of a layer
//!
//! axum boxes each layer of a `Router`, whatever the layer does. A request without an offer pays for both layers of
//! this crate:
//!
//! | both layers, with `for_axum` | allocations | instructions |
//! |---|---|---|
//! | `router.layer(upgrades).layer(outermost)` | 9 | 3,300 |
//! | `router.layer((outermost, upgrades))` | 4 | 1,900 |
//! | `outermost.layer(upgrades.layer(router))` | 0 | 380 |
//!
//! The first is for apps with layers of their own between the two. The last is for `axum::serve` with
//! `into_make_service`, as in the table above. `benches/instructions.sh places` in the repository counts anew.
