//! FAQ: short answers to what users of upgrades ask.
//!
//! # Why does my client get …
//!
//! ## … a 426?
//!
//! The handler takes an [`Offer`][offer], and the request offers no WebSocket, or no layer with
//! `on_inner("websocket")` wraps the route: the body of the response says which. A proxy in front that
//! removes `Upgrade` is the usual cause of the first. A layer that is
//! [`required`](crate::UpgradeLayer::required) answers 426 too, and so does a WebSocket of another version
//! than 13.
//!
//! ## … a 400?
//!
//! The handshake is malformed: `Host`, `Sec-WebSocket-Key` or `Sec-WebSocket-Version` is missing, repeated or
//! wrong. The body of the response says what, and so does `reason` in the [logs](crate::guide::operating).
//! Over HTTP/2 and HTTP/1.0, a request without an offer gets a 400 in place of a 426. A handler that takes
//! [`Protocol<'static>`](crate::Protocol) answers 400 to each request without one.
//!
//! ## … a 403?
//!
//! The page's `Origin` is not that of the host. Behind a proxy, pass on the host and the port that the
//! browser sees: `proxy_set_header Host $http_host` in nginx. For pages of other hosts, list their origins
//! with `Origins::list`, your own too. The log has the `origin` and the `host` that were compared.
//!
//! ## … a 503 or a 429?
//!
//! 503: [`max_connections`](crate::UpgradeLayer::max_connections) is reached, a drain has begun, or the
//! handler was late for [`handshake_timeout`](crate::UpgradeLayer::handshake_timeout). 429:
//! [`max_connections_per`](crate::UpgradeLayer::max_connections_per) is reached for its key. The counts in
//! [`Stats`](crate::Stats) tell them apart.
//!
//! ## … a 405?
//!
//! Over HTTP/2 the method of an upgrade is CONNECT. Route the path with `any(…)`, not with `get(…)`.
//!
//! ## … a 101, and then EOF?
//!
//! The handler did not run. [`on_failure`](crate::UpgradeLayer::on_failure) receives an error whose text
//! names the remedy. [`NotEnabled`](crate::UpgradeErrorKind::NotEnabled): serve connections
//! `.with_upgrades()`. [`Replaced`](crate::UpgradeErrorKind::Replaced): a layer hides the response body, so
//! add [`UpgradeLayer::outermost`](crate::UpgradeLayer::outermost) as the last layer.
//!
//! # Why does my handler not run?
//!
//! The layer forwarded the request, and the inner service answered. [`Stats::declined`](crate::Declined)
//! counts the reasons, and with the feature `tracing` the event `declined` names them: `request` for
//! HTTP/1.0, `connection` for a missing `Connection: upgrade`, `unregistered` for another protocol, `body`
//! for a request with a body, `unaccepted` for [`when`](crate::UpgradeHandler::when).
//!
//! # What does nginx need in front?
//!
//! nginx passes on no `Upgrade` unless it is told to, and speaks HTTP/1.0 to servers without
//! `proxy_http_version 1.1`. In the `location` of the sockets:
//!
//! ```text
//! proxy_http_version 1.1;
//! proxy_set_header Upgrade $http_upgrade;
//! proxy_set_header Connection "upgrade";
//! proxy_set_header Host $http_host;
//! proxy_read_timeout 1h;
//! ```
//!
//! It closes a connection without a byte for 60 seconds, unless `proxy_read_timeout` says otherwise. Send
//! pings more often than that.
//!
//! # Why are small messages slow?
//!
//! Nagle's algorithm holds a small message back until the one before is acknowledged. Set `TCP_NODELAY` on
//! accepted sockets: `stream.set_nodelay(true)` with hyper, and in axum:
//!
//! ```
//! use axum::{Router, serve::ListenerExt};
//!
//! # async fn serve(listener: tokio::net::TcpListener, app: Router) -> std::io::Result<()> {
//! let listener = listener.tap_io(|io| {
//!     io.set_nodelay(true).ok();
//! });
//! axum::serve(listener, app).await
//! # }
//! # let _ = serve;
//! ```
//!
//! # How do I authenticate a client before the switch?
//!
//! Below [`on_inner`](crate::UpgradeLayer::on_inner), as for any other route: with middleware, extractors, or
//! a `Result<Switch, _>` in the handler. A handler given to [`on`](crate::UpgradeLayer::on) gets the request
//! and returns `Err(StatusCode::UNAUTHORIZED)`; with `websocket::WebSocket`, use `on_connect`. Browsers
//! cannot set `Authorization` on a WebSocket: use a cookie, or a token in a subprotocol or the query.
//!
//! # How do I limit connections?
//!
//! [`max_connections`](crate::UpgradeLayer::max_connections) for all, and
//! [`max_connections_per`](crate::UpgradeLayer::max_connections_per) for each address or user.
//! [`idle_timeout`](crate::UpgradeLayer::idle_timeout) and
//! [`max_lifetime`](crate::UpgradeLayer::max_lifetime) limit their time. A `ConcurrencyLimitLayer` does not:
//! the response to an upgrade ends with its 101.
//!
//! # How do I shut down?
//!
//! A server's graceful shutdown does not know of upgraded connections. Call
//! [`Connections::shutdown`](crate::Connections::shutdown) with a deadline, and in the handler wait for
//! [`Upgraded::draining`](crate::Upgraded::draining) beside the reads. [`Connections`](crate::Connections)
//! has the code for axum, [`guide::hyper`](crate::guide::hyper) that for hyper.
//!
//! # How do I send to a connection from elsewhere?
//!
//! With a channel whose receiver the function on the connection reads in `select!`, as the example `chat`
//! does for its rooms. [`Connection`](crate::Connection) ends a connection, and does not write to it.
//!
//! # Can a page and a socket share a path?
//!
//! Yes. Take `Option<Offer>` in an axum handler, or register a handler with [`on`](crate::UpgradeLayer::on):
//! a request without an offer reaches the inner service. [`guide::axum`](crate::guide::axum) has an example.
//!
//! # Does it work over HTTP/2?
//!
//! Yes, with [`extended_connect`](crate::UpgradeLayer::extended_connect), with the same handlers. The server
//! has to announce it. Browsers do it over TLS only, and only on a connection that they have already.
//!
//! # How do I test an app with upgrades?
//!
//! `tower::ServiceExt::oneshot` has no connection that could be switched, so the layer forwards the request.
//! Serve the app on a port of its own, or on one end of `tokio::io::duplex` as in
//! [`guide::hyper`](crate::guide::hyper#hyper-alone), and connect a client:
//!
#![cfg_attr(all(feature = "axum", feature = "websocket"), doc = "```")]
#![cfg_attr(not(all(feature = "axum", feature = "websocket")), doc = "```ignore")]
//! use axum::{Router, routing::any};
//! use tower_upgrade::{Switch, UpgradeLayer, websocket::Offer};
//! # use futures_util::TryStreamExt;
//! # use tokio_websockets::{Error, Message, ServerBuilder};
//!
//! # async fn room(ws: Offer) -> Switch {
//! #     ws.switch(async |io, _| -> Result<(), Error> {
//! #         futures_util::SinkExt::send(&mut ServerBuilder::new().serve(io), Message::text("hello")).await
//! #     })
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app = Router::new()
//!     .route("/", any(room))
//!     .layer(UpgradeLayer::new().on_inner("websocket").for_axum());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(async { axum::serve(listener, app).await });
//!
//! let io = tokio::net::TcpStream::connect(address).await?;
//! let (mut client, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), io).await?;
//! assert_eq!(client.try_next().await?, Some("hello".into()));
//! # Ok(())
//! # }
//! ```
//!
//! axum-test's `TestServer` needs its HTTP transport for the same reason
//! (`TestServer::builder().http_transport()`).
//!
//! # Can I reach the TCP socket?
//!
//! [`Upgraded::downcast`](crate::Upgraded::downcast) returns it, with the bytes that the server had read
//! ahead. The crate does not count its bytes and cannot abort it from then on.
//!
//! # Does `Connection: close` break an upgrade?
//!
//! In a request, no. In a response, a layer that sets it on every response breaks the 101, which needs
//! `Connection: upgrade`. [`outermost`](crate::UpgradeLayer::outermost) puts the option back.
//!
#![cfg_attr(feature = "websocket", doc = "[offer]: crate::websocket::Offer")]
#![cfg_attr(not(feature = "websocket"), doc = "[offer]: crate#features")]
