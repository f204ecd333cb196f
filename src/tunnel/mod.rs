//! Carries an upgrade through to an upstream server.
//!
//! A [`Tunnel`] is a handler that asks the upstream first. The client gets a 101 only if the upstream answers
//! with the right 101. From then on, the tunnel carries bytes both ways. A reverse proxy that trusts the
//! request alone is a hole: its clients speak to the upstream past all routes and checks.
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use std::net::SocketAddr;
//!
//! use axum::{Router, extract::ConnectInfo, routing::get};
//! use tower_upgrade::{UpgradeLayer, tunnel::{Forwarded, Tunnel}};
//!
//! // WebSockets under `/live` go to another server, and axum answers all other requests.
//! let client = Forwarded::set(|head| {
//!     head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
//! });
//! let tunnel = Tunnel::to("http://127.0.0.1:9000")?.strip_prefix("/live").forwarded(client);
//! let app = Router::new()
//!     .route("/", get(|| async { "plain" }))
//!     .layer(UpgradeLayer::new().on("websocket", tunnel).for_axum())
//!     .layer(UpgradeLayer::outermost());
//! // `axum::serve` puts the `ConnectInfo` into each request.
//! let service = app.into_make_service_with_connect_info::<SocketAddr>();
//! # drop(service);
//! # Ok::<(), tower_upgrade::tunnel::InvalidUpstream>(())
//! ```
//!
//! The example `tunnel` in the repository is a whole development proxy on hyper: upgrades go through a
//! tunnel, and all other requests through the client of hyper-util.
//!
//! # What the upstream gets
//!
//! An HTTP/1.1 request on a connection of its own, with the method, the path and query, the headers and
//! the body of the client's request. These differ:
//!
//! - `Upgrade` names the negotiated protocol alone, and `Connection` is `upgrade`.
//! - Headers of the client's connection are removed: those of RFC 9110 §7.6.1, `Proxy-Authorization`,
//!   `Expect`, and all that `Connection` names. `Host`, `Origin`, `Content-Length`, `Via`, `Forwarded`,
//!   `X-Forwarded-*`, `X-Real-*` and `Sec-WebSocket-*` are kept even if `Connection` names them.
//! - `Host` is the client's, unless [`Tunnel::host`] sets another.
//! - An [extended CONNECT](crate::UpgradeLayer::extended_connect) of HTTP/2 becomes a GET. For WebSocket
//!   it gets a `Sec-WebSocket-Key`. The tunnel checks the answer, and does not send it to the client.
//!
//! The upstream gets no byte of the new protocol before it has answered.
//!
//! # What the client gets
//!
//! | the upstream | the client gets |
//! |---|---|
//! | answers 101, with `Connection: upgrade`, exactly the protocol in `Upgrade`, and for WebSocket the right `Sec-WebSocket-Accept` | the 101 with the upstream's headers, in HTTP/2 a 200 |
//! | answers another 101, or one before it has the whole request, or a 2xx to what was an extended CONNECT | 502 |
//! | answers anything else | that answer, body and all. Redirects are not followed |
//! | cannot be reached, closes, breaks, or does not speak HTTP/1.1 | 502 |
//! | is too slow: [`Tunnel::connect_timeout`], [`Tunnel::response_timeout`] | 504 |
//!
//! An answer that does not switch is an ordinary response: no limit of time is set on its body, and neither
//! [`Connections`](crate::Connections) nor a drain knows of it.
//!
//! A request of HTTP/1.1 without exactly one `Host` gets a 400, and so does one whose target is not for its
//! method (RFC 9112 §3.2). A WebSocket without a valid `Sec-WebSocket-Key` gets a 400, and one with another
//! method than GET a 405. A body with a transfer coding beside chunked gets a 501.
//! [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure) receives a [`TunnelError`] for each 502
//! and 504.
//!
//! # After the switch
//!
//! Each side can close its direction and read on. The tunnel ends when both have closed theirs. If one
//! connection breaks, the other is reset if it is TCP without TLS, so that its peer does not see a clean EOF.
//! Each direction applies back-pressure. It buffers 64 KiB at most, or the bytes that came along with the
//! upstream's 101 if these are more.
//!
//! HTTP/2 is an exception, because hyper cannot reset a stream that it has handed over: a client in HTTP/2
//! sees EOF when the upstream breaks, and a stream that the client cancels looks like one that it closes.
//!
//! A drain closes a tunnel once it has been idle for one second. A tunnel that is never idle is aborted at
//! the deadline. [`Tunnel::close_websocket_on_drain`] ends each WebSocket with a close frame instead.
//!
//! # Security
//!
//! - A tunnel does not check the `Origin` of a WebSocket. The upstream has to check it, and gets `Host` and
//!   `Origin` as the client sent them.
//! - Register `h2c` only if clients may reach the upstream past this server: after that switch, a client
//!   can send any request to it.
//! - A client can have headers removed by naming them in `Connection`, except those above. If an outer
//!   layer adds a header that the upstream trusts, choose one of those names, such as `X-Forwarded-User`,
//!   and have the layer replace the client's value.
//! - A tunnel takes every path. [`strip_prefix`](Tunnel::strip_prefix) limits it to one prefix and removes
//!   that, and [`when`](crate::UpgradeHandler::when) limits it without removing anything.
//! - The path in the upstream's URL confines nobody: with `/app` there, `/../admin` goes up as
//!   `/app/../admin`.

mod carry;
mod connect;
mod error;
mod exchange;
mod forwarded;
mod frames;
mod handler;
mod headers;
mod pipe;
mod request;
mod response;
mod upstream;
mod written;

#[cfg(unix)]
pub use self::connect::Unix;
pub use self::{
    connect::{Connect, Connector, ConnectorIo, InvalidUpstream, Tcp},
    error::{TunnelError, TunnelErrorKind},
    forwarded::Forwarded,
    handler::Tunnel,
};
