//! Tower middleware for protocol upgrades: to WebSocket, to HTTP/2, or to a protocol of your own.
//!
//! A client asks for another protocol with the `Upgrade` header of an HTTP/1.1 request (RFC 9110 §7.8), or
//! with an extended CONNECT of HTTP/2 (RFC 8441). [`UpgradeLayer`] wraps any tower service. It answers such
//! a request with `101 Switching Protocols`, in HTTP/2 with 200, and hands the connection to your code. All
//! other requests go to the inner service unchanged.
//!
//! # A WebSocket in axum
//!
//! With [`on_inner`](UpgradeLayer::on_inner), your routes decide. [`websocket::Offer`][offer] is an
//! extractor that checks the handshake and the `Origin` header. A framing crate of your choice reads and
//! writes the messages; here it is tokio-websockets.
//!
#![cfg_attr(all(feature = "axum", feature = "websocket"), doc = "```")]
#![cfg_attr(not(all(feature = "axum", feature = "websocket")), doc = "```ignore")]
//! use axum::{Router, extract::Path, routing::any};
//! use futures_util::{SinkExt, TryStreamExt};
//! use tokio_websockets::{Error, Message, ServerBuilder};
//! use tower_upgrade::{Switch, UpgradeLayer, Upgraded, websocket::Offer};
//!
//! async fn room(ws: Offer, Path(room): Path<String>) -> Switch {
//!     ws.switch(move |io, _agreed| echo(io, room))
//! }
//!
//! async fn echo(io: Upgraded, room: String) -> Result<(), Error> {
//!     let mut socket = ServerBuilder::new().serve(io);
//!     while let Some(message) = socket.try_next().await? {
//!         let Some(text) = message.as_text() else { continue };
//!         socket.send(Message::text(format!("{room}: {text}"))).await?;
//!     }
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app = Router::new()
//!     .route("/rooms/{room}", any(room))
//!     .layer(UpgradeLayer::new().on_inner("websocket").for_axum())
//!     .layer(UpgradeLayer::outermost());
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(async { axum::serve(listener, app).await });
//!
//! let client = tokio::net::TcpStream::connect(address).await?;
//! let url = format!("ws://{address}/rooms/lobby");
//! let (mut client, _response) = tokio_tungstenite::client_async(url, client).await?;
//! client.send("hello".into()).await?;
//! assert_eq!(client.try_next().await?, Some("lobby: hello".into()));
//! # Ok(())
//! # }
//! ```
//!
//! [`guide::axum`] goes on from here. [`guide::migration`] has the same servers by axum's `WebSocketUpgrade`,
//! hyper-tungstenite, fastwebsockets and by hand, line by line.
//!
//! # A protocol of your own
//!
//! [`on`](UpgradeLayer::on) registers a handler. It gets the request, and returns a [`Switch`] or another
//! response. Here the layer wraps a service of hyper; [`guide::hyper`] has a whole server. In axum, put the
//! layer on a `Router`.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use hyper::body::Incoming;
//! use hyper_util::{rt::TokioIo, service::TowerToHyperService};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tower::{Layer, service_fn};
//! use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let layer = UpgradeLayer::new().on("echo/1", |_request: Request<Bytes>| async {
//!     Switch::to(|io: Upgraded| async {
//!         let (mut reader, mut writer) = tokio::io::split(io);
//!         tokio::io::copy(&mut reader, &mut writer).await.map(drop)
//!     })
//! });
//! let service = layer.layer(service_fn(|_request: Request<Incoming>| async {
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("plain")))
//! }));
//!
//! // A pipe stands in for a socket.
//! let (mut client, server) = tokio::io::duplex(1024);
//! let connection = hyper::server::conn::http1::Builder::new()
//!     .serve_connection(TokioIo::new(server), TowerToHyperService::new(service))
//!     .with_upgrades();
//! tokio::spawn(connection);
//!
//! let request = "GET / HTTP/1.1\r\n\
//!     Host: example.com\r\n\
//!     Connection: upgrade\r\n\
//!     Upgrade: echo/2, echo/1\r\n\r\n";
//! client.write_all(request.as_bytes()).await?;
//! client.write_all(b"hello").await?;
//! client.shutdown().await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
//! assert!(answer.contains("upgrade: echo/1\r\n"));
//! assert!(answer.ends_with("\r\n\r\nhello"));
//! # Ok(())
//! # }
//! ```
//!
//! # HTTP/2
//!
//! Browsers open a WebSocket on the HTTP/2 connection of the page, if the server announces that it takes
//! them. [`UpgradeLayer::extended_connect`] answers them with the same handlers and the same code:
//!
//! ```text
//! UpgradeLayer::new().on_inner("websocket").extended_connect()
//! ```
//!
//! `axum::serve` announces it with axum's feature `http2`. With hyper and hyper-util, call
//! `enable_connect_protocol()` on the HTTP/2 builder. In axum, route the path with `any(…)`: the method is
//! CONNECT. Browsers speak HTTP/2 over TLS only.
//!
//! # Where the layer goes
//!
//! In axum, put the layer on the `Router` after the routes, and [`UpgradeLayer::outermost`] after all
//! other layers:
//!
//! ```text
//! Router::new().route(…)
//!     .layer(upgrades.for_axum())
//!     .layer(TraceLayer::new_for_http())
//!     .layer(UpgradeLayer::outermost())
//! ```
//!
//! [`on_inner`](UpgradeLayer::on_inner) leaves paths and methods to the routes. A handler given to
//! [`on`](UpgradeLayer::on) gets every request that offers its protocol, on every path: limit it with
//! [`when`](UpgradeHandler::when), or put its layer on a route. [`guide::axum`] has a table of the places.
//!
//! # Layer order
//!
//! Add [`UpgradeLayer::outermost`] as the last layer. Then a handler's function runs on the connection if and
//! only if its 101 leaves the server. Without it, the layer has only the body of the 101, which the server
//! asks for its end and its size. Some layers hide these questions, and a few imitate them. All of this holds
//! for the 200 to an extended CONNECT, too.
//!
//! | outer layer | works without `outermost()` | works with it | why |
//! |---|---|---|---|
//! | reads or changes headers, extensions or the URI | yes | yes | the status and the body of the 101 stay |
//! | sets `Connection` on every response | no: a malformed 101 | yes | a 101 needs the option `upgrade` in `Connection`, and `outermost()` puts it back |
//! | authentication, sessions, CSRF, rate limits | yes | yes | they pass the 101 of an accepted request on unchanged |
//! | limits of time, concurrency or load; calls on another task | yes | yes | the response stays |
//! | routes, nests, merges or boxes | yes | yes | a box passes the server's questions on |
//! | wraps the response body and passes its size on (trace, compression by default) | yes | yes | the server's questions reach the body |
//! | wraps the response body and hides its end or its size (`ResponseBodyTimeoutLayer`, `DecompressionLayer`, streams) | no: 101, then EOF | yes | the server's questions do not reach the body |
//! | reads the response body and makes a new one | no: 101, then EOF | yes | the body of the 101 is gone |
//! | wraps or replaces the request body (`RequestBodyTimeoutLayer`, metrics) | yes | yes | the head says how long the body is |
//! | holds the response until the request's extensions are dropped (axum-htmx's `AutoVaryLayer`) | no for `WebSocket`: 101, then EOF | no for `WebSocket`: 503 | its `Handshake` keeps the request; `on_inner` does not |
//! | makes a new request without the old one's extensions | no: forwarded | no: forwarded | hyper's promise of the connection is one of them |
//!
//! If an outer layer answers something else in place of the 101, such as a time limit, the handler does not
//! run. Without `outermost()`, a layer escapes notice if it changes the status in place to 204 or 304, or
//! after something asked the body for its size; or if it asks the body all that a server asks, and then
//! answers something else.
//!
//! Bytes of a body cannot get into the new protocol, unless an outer layer replaces the request's body
//! without reading it, keeps its headers, and hides the size of the new one. Read a body to its end
//! before you replace it.
//!
//! axum replaces the body of every response to HEAD behind `Router::layer`. Where a handler takes HEAD
//! over, put the layers around the `Router`, or the client gets its 101 and then EOF.
//!
//! The table comes from 197 stacks of published layers and 51 that misbehave, each tried on the wire: see
//! `interop/layers` in the repository. Over HTTP/2, 189 of the 197 switch without `outermost()`, and 194
//! with it. Without it, a layer escapes notice there if it changes the 200 to another 2xx in place, or if it
//! answers another 2xx and drops the body of the 200 later.
//!
//! # The server has to hand over connections
//!
//! `axum::serve` does. With hyper, serve connections `.with_upgrades()`, and with hyper-util's `auto`
//! builder by `serve_connection_with_upgrades`. Otherwise the client gets its 101 and then EOF, and
//! [`on_failure`](UpgradeLayer::on_failure) receives an error that names the missing call.
//!
//! Leave hyper's `pipeline_flush` off, which is its default. With it, hyper loses the whole 101 if bytes
//! of the new protocol came right after the request, and no layer can notice.
//!
//! An nginx in front speaks HTTP/1.0 unless it has `proxy_http_version 1.1`, and passes no `Upgrade` on
//! unless it is told to. Such requests are forwarded, and counted as
//! [`Declined::request`](Declined#structfield.request).
//!
//! # What is forwarded
//!
//! These requests reach the inner service, with hyper's `OnUpgrade` still in their extensions:
//!
//! - requests of another version than HTTP/1.1, CONNECT and TRACE, except extended CONNECT if
//!   [it counts as an offer](UpgradeLayer::extended_connect)
//! - requests without the option `upgrade` in `Connection`
//! - requests whose `Connection` or `Upgrade` is malformed, or has more than 64 members or 8 KiB
//! - requests that offer nothing that a handler is registered for and
//!   [accepts](UpgradeHandler::accepts)
//! - requests with a body that the handler does not [take](UpgradeHandler::body_limit), that
//!   contradicts its head, or that waits for a `100 Continue` that hyper would not send
//!
//! Three policies change this, all of which are off by default:
//!
//! - [`required`](UpgradeLayer::required) answers them with 426.
//! - [`strip`](UpgradeLayer::strip) removes the offer before it forwards them, for a service that sends
//!   requests on to another server.
//! - [`advertise`](UpgradeLayer::advertise) lists the registered protocols in their responses.
//!
//! # Shutdown
//!
//! A graceful shutdown of the HTTP server does not know of upgraded connections. [`Connections`], which
//! [`UpgradeLayer::connections`] returns, counts them, tells their handlers to end
//! ([`Upgraded::draining`]), waits, and aborts the rest at a deadline. An abort closes a connection even if
//! its handler has moved it to other tasks. [`Connections::shutdown_over`] spreads the drain over a time, so
//! that clients do not all reconnect at once.
//! [`Upgraded::close`] ends a connection so that the client receives everything that was written.
//!
//! [`Connections::list`] returns a handle for each connection, which says who is there and ends one.
//!
//! # Limits
//!
//! A handshake may take [10 seconds](UpgradeLayer::handshake_timeout) in all, which needs the timer of a
//! tokio runtime, as `#[tokio::main]` has it. A request body is limited by its handler, to nothing by
//! default. There are no other limits unless you set them:
//!
//! | limit | what happens beyond it |
//! |---|---|
//! | [`max_connections`](UpgradeLayer::max_connections): upgraded connections at a time | 503, or [forwarded](UpgradeLayer::at_capacity) |
//! | [`max_connections_per`](UpgradeLayer::max_connections_per): those of one address, or of one user | 429, or forwarded |
//! | [`max_lifetime`](UpgradeLayer::max_lifetime): the age of a connection | it is drained, and closed [30 seconds](UpgradeLayer::lifetime_grace) later |
//! | [`idle_timeout`](UpgradeLayer::idle_timeout): the time without a byte in either direction | it is closed |
//!
//! # Security
//!
//! - By default, only pages of the same host may open a WebSocket. `websocket::Origins::list` replaces that
//!   default.
//! - Put [`UpgradeLayer::strip`] around a service that sends requests on to another server, or a client can
//!   switch that server. To let a protocol through on purpose, register a `tunnel::Tunnel`.
//! - Outer layers see the request and its 101, and no bytes after it. Decide who may connect before the 101.
//! - With `h2c`, later requests of a connection bypass outer layers.
//!
//! [`guide::security`] lists what is checked by default, what is not, and the test that shows it.
//!
//! # Cancel safety
//!
//! If a response's future is dropped, nothing is switched. Once the server has the 101, the function in the
//! [`Switch`] runs on a task of its own, which ends when that function returns.
//!
//! # When not to use this crate
//!
//! - For a client. This crate is for servers; the feature `tunnel` asks an upstream to switch, and nothing
//!   else does.
//! - For WebSocket messages or TLS alone: it does the handshake and owns the connection. A framing crate
//!   reads and writes the messages ([`guide`]), and a TLS crate encrypts.
//! - For a socket in one axum app that needs no limits, no shutdown and no check of `Origin`: axum's own
//!   `WebSocketUpgrade` does that without another dependency.
//! - For HTTP/2 where both ends are yours: prior knowledge needs no upgrade.
//! - For HTTP/3, which this crate does not switch.
//!
//! # Features
//!
//! None is on by default. This crate turns on HTTP/2 in hyper-util, so that `axum::serve` accepts it even
//! without axum's feature `http2`, but announces extended CONNECT only with that feature.
//!
//! | feature | what it adds | crates it adds |
//! |---|---|---|
//! | none | handlers and switches for hyper and tower | 30: hyper with HTTP/1 and HTTP/2, hyper-util, tokio, tower, and what they need |
//! | `axum` | `Offer` as an extractor, `Switch` and `Rejection` as responses, `UpgradeLayer::for_axum` | 3: axum-core and two of its own; none in an axum app |
//! | `websocket` | `websocket::Offer` and `websocket::WebSocket`, the opening handshake of RFC 6455 and RFC 8441 | 9: base64, sha1 and seven of its own; none beside axum's feature `ws` |
//! | `h2c` | `h2c::H2c`, HTTP/2 by upgrade in cleartext (RFC 7540 §3.2) | 1: base64 |
//! | `tunnel` | `tunnel::Tunnel`, which carries an upgrade through to an upstream server; turns on `websocket` | 4, and those of `websocket`: mio and socket2 of tokio's sockets, want and try-lock of hyper's client |
//! | `tracing` | a span for each request that a handler takes over, and events | none: h2 has tracing already |
//! | `metrics` | counters, a gauge and a histogram, through the `metrics` facade | 3: metrics and two of its own |
//!
//! An axum app without the feature `http2` gets 8 more, for HTTP/2: h2 and what it needs. To count
//! for yourself: `cargo tree -e normal --no-dedupe --prefix none -p tower-upgrade | sort -u`.
//!
//! [`guide::operating`] lists the events and the metrics.
//!
#![cfg_attr(feature = "websocket", doc = "[offer]: websocket::Offer")]
#![cfg_attr(not(feature = "websocket"), doc = "[offer]: crate#features")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod connect;
mod connections;
mod error;
#[cfg(doc)]
pub mod guide;
#[cfg(feature = "h2c")]
#[cfg_attr(docsrs, doc(cfg(feature = "h2c")))]
pub mod h2c;
mod handler;
mod handshake;
#[cfg(any(feature = "h2c", feature = "websocket"))]
mod host;
mod layer;
mod negotiation;
mod observe;
#[cfg(feature = "tunnel")]
#[cfg_attr(docsrs, doc(cfg(feature = "tunnel")))]
pub mod tunnel;
#[cfg(feature = "websocket")]
#[cfg_attr(docsrs, doc(cfg(feature = "websocket")))]
pub mod websocket;

pub use crate::{
    connections::{
        Connections,
        connection::Connection,
        shutdown::Shutdown,
        stats::{Declined, Stats},
        upgraded::{Downcast, Upgraded},
    },
    error::{BoxError, UpgradeError, UpgradeErrorKind},
    handler::{
        IntoSwitch, UpgradeHandler,
        narrowed::{When, WithBodyLimit, WithMaxLifetime},
        outcome::IntoOutcome,
        rejection::{OwnBody, Rejection},
        switch::Switch,
    },
    layer::{
        UpgradeLayer,
        bodies::{Bodies, Mapped, Transparent, Wrapped},
        body::UpgradeBody,
        config::AtCapacity,
        future::UpgradeFuture,
        make::IntoMakeService,
        none::NoService,
        outermost::{Outermost, OutermostBody, OutermostFuture, OutermostService},
        service::Upgrade,
    },
    negotiation::{
        Preference,
        protocol::{InvalidProtocol, Protocol},
    },
};

#[cfg(all(doctest, feature = "axum", feature = "websocket"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
