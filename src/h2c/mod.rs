//! HTTP/1.1 connections that continue in HTTP/2, in cleartext (RFC 7540 §3.2).
//!
//! Most servers do not need this module. Use it only if clients that you do not control ask for HTTP/2 by
//! `Upgrade: h2c` over plain HTTP: `curl --http2`, `nghttp -u`, Java's `HttpClient`. If both ends are
//! yours, use HTTP/2 with prior knowledge, which `axum::serve` with its feature `http2` and hyper-util's
//! `auto` builder serve on the same port. If clients reach you through TLS, do not use it.
//!
//! RFC 9113 has dropped this upgrade: new clients begin with HTTP/2 instead.
//!
//! In axum, put the layer around the whole `Router`, and give the handler a clone of it:
//!
//! ```no_run
//! # use axum::Router;
//! # use tower::Layer;
//! # use tower_upgrade::{UpgradeLayer, h2c::H2c};
//! # #[cfg(feature = "axum")]
//! # async fn serve(listener: tokio::net::TcpListener, app: Router) -> std::io::Result<()> {
//! let service = UpgradeLayer::new().on("h2c", H2c::new(app.clone())).for_axum().layer(app);
//! axum::serve(listener, service.into_make_service()).await
//! # }
//! ```
//!
//! # Two dangers
//!
//! **Outer layers of [`UpgradeLayer`](crate::UpgradeLayer) see only the first request of such a
//! connection.** Every later request is a stream inside the connection that the layer took over, and
//! goes straight to the service that was given to [`H2c::new`]. If authentication is in an outer layer, one
//! accepted request opens the connection for all others (CVE-2026-32136). So wrap the service in everything
//! that each request has to pass, and give the same service to [`H2c::new`] and to `.layer`:
//!
//! ```text
//! right   UpgradeLayer::new().on("h2c", H2c::new(auth.layer(app))).layer(auth.layer(app))
//! wrong   auth.layer(UpgradeLayer::new().on("h2c", H2c::new(app)).layer(app))
//! ```
//!
//! **Cleartext only.** On TLS, HTTP/2 is negotiated by ALPN, and RFC 9113 §3.2 forbids this upgrade
//! there. Nothing in a request tells a layer whether there is TLS below it. Do not register [`H2c`]
//! on a server that clients reach through TLS, nor behind a proxy that forwards `Upgrade` without
//! knowing `h2c`: its clients could bypass the proxy's rules.
//!
//! # Which requests are upgraded
//!
//! A request is upgraded if it has exactly one `HTTP2-Settings` header, well-formed and named in
//! `Connection`, and a body within the [limit](crate::UpgradeHandler::body_limit): 64 KiB unless
//! [`with_body_limit`](crate::UpgradeHandler::with_body_limit) sets another. The inner service
//! answers every other request in HTTP/1.1, and the connection stays HTTP/1.1. So it does during a drain, and
//! when [`max_connections`](crate::UpgradeLayer::max_connections) is reached.
//!
//! Two answers do not come from the service. A request without exactly one valid `Host` gets
//! a 400 (RFC 9112 §3.2). A chunked body above the limit gets a 413; see
//! [`H2c::forward_chunked_bodies`].
//!
//! # What the service sees
//!
//! The response to the upgrading request is sent on stream 1, at once. The service gets that request as in
//! HTTP/1.1: with its extensions, its headers in their order, its body and trailers. These differ:
//!
//! - The version is HTTP/2.
//! - `Connection`, `Upgrade`, `HTTP2-Settings`, `Keep-Alive`, `Proxy-Connection` and
//!   `Transfer-Encoding` are removed, and `TE` but for `trailers`. Other headers stay even if
//!   `Connection` names them, so that no client can remove a header that an outer layer has added.
//! - `Host` becomes the authority of the URI. A percent-encoded host, which the URI cannot hold, stays
//!   a header.
//! - The body's type is [`RequestBody`], on all streams.
//!
//! `Connection: close` on a response closes the connection, as it does in HTTP/1.1: the server sends
//! GOAWAY, and the streams that are open are answered.
//!
//! # Extensions
//!
//! Every request of the connection has the extensions that the first one had when it came to
//! [`UpgradeLayer`](crate::UpgradeLayer), so that a peer's address is known on all streams. Some
//! extensions hold for the first request only: a layer that is added with axum's `Router::layer` runs after
//! the routing, so its requests have path parameters. Wrap the `Router` in `UpgradeLayer` instead, or choose
//! with [`H2c::extensions`].
//!
//! # Shutdown and limits
//!
//! A [drain](crate::Connections::drain) sends GOAWAY: the client opens no more streams, and the
//! connection is closed when those that are open have ended. If a service streams
//! responses without an end, give it a clone of the layer's [`Connections`](crate::Connections), and end
//! them when [`draining`](crate::Connections::draining) is ready, which is when a
//! [spread](crate::Connections::drain_over) drain begins. A drain of one connection alone, and
//! [`max_lifetime`](crate::UpgradeLayer::max_lifetime), send GOAWAY and do not tell the service.
//!
//! [`H2c::idle_timeout`] and [`H2c::max_age`] end a connection in the same way; both are off by default. A
//! client whose HTTP/2 preface does not come within the [handshake
//! timeout](crate::UpgradeLayer::handshake_timeout) is dropped. After GOAWAY and the last response, a client
//! that does not close the connection is dropped too, after the time that [`close`](crate::Upgraded::close)
//! waits for a client that goes on sending. Streams that it opens after this time do not count. The options
//! of HTTP/2 itself, such as PINGs to silent clients, are hyper's: [`H2c::http2`].
//!
//! Every connection is [closed](crate::Upgraded::close) so that the client receives everything, and counts
//! until then.
//!
//! # Example
//!
//! A service that asks for authorization, in HTTP/1.1 and in HTTP/2.
//!
//! ```
//! use std::{convert::Infallible, sync::{Arc, Mutex}};
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode, Version, header::AUTHORIZATION};
//! use http_body_util::Full;
//! use hyper::server::conn::http1;
//! use hyper_util::{rt::TokioIo, service::TowerToHyperService};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tower::{Layer, service_fn};
//! use tower_upgrade::{
//!     UpgradeLayer,
//!     h2c::{H2c, RequestBody, RequestBodyLayer},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let refused = Arc::new(Mutex::new(Vec::new()));
//! let log = Arc::clone(&refused);
//! let guarded = service_fn(move |request: Request<RequestBody>| {
//!     let mut response = Response::new(Full::<Bytes>::from("secret"));
//!     if !request.headers().contains_key(AUTHORIZATION) {
//!         log.lock().unwrap().push(request.version());
//!         response = Response::new(Full::default());
//!         *response.status_mut() = StatusCode::UNAUTHORIZED;
//!     }
//!     std::future::ready(Ok::<_, Infallible>(response))
//! });
//!
//! let layer = UpgradeLayer::new().on("h2c", H2c::new(guarded.clone()));
//! let service = TowerToHyperService::new(layer.layer(RequestBodyLayer::new().layer(guarded)));
//! let (mut client, server) = tokio::io::duplex(1024);
//! let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
//! tokio::spawn(connection.with_upgrades());
//!
//! client
//!     .write_all(
//!         b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade, http2-settings\r\n\
//!           Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n\
//!           PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
//!     )
//!     .await?;
//! let mut answer = Vec::new();
//! while refused.lock().unwrap().is_empty() {
//!     client.read_buf(&mut answer).await?;
//! }
//! assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! assert!(!answer.windows(6).any(|bytes| bytes == b"secret"));
//! assert_eq!(*refused.lock().unwrap(), [Version::HTTP_2]);
//! # Ok(())
//! # }
//! ```

mod activity;
mod body;
mod clock;
mod handler;
mod head;
mod io;
mod opening;
mod serve;
mod settings;
mod stream;

pub use self::{
    body::{RequestBody, RequestBodyLayer, WithRequestBody},
    handler::H2c,
    serve::Executor,
    stream::StreamService,
};
