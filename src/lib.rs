//! Tower middleware that switches protocols on HTTP/1.1 connections.
//!
//! A client may offer to speak another protocol on the connection that it sends a request on
//! (`Upgrade`, RFC 9110 §7.8): WebSocket, HTTP/2, or one of your own. [`UpgradeLayer`] goes around
//! any tower service. A request that offers a protocol that a handler is registered for, and that
//! the handler accepts, is answered with `101 Switching Protocols`, and the handler gets the
//! connection. Every other request reaches the service inside as if the layer were not there.
//!
//! What takes care to get right is done here, once: the fields over all their lines, versions,
//! and limits; content that is read to its end before the switch, so that no octet of it is taken
//! for the new protocol; the 100 that precedes the 101; a handler that runs only on the connection
//! that got this 101; and octets that the client sent early.
//!
//! # Example
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
//! With axum, the layer goes on a `Router`, after its routes and its fallback:
//! `Router::new().route(…).layer(layer)`; on one route; or around a whole `Router`:
//! `layer.layer(app)`. If in doubt, put it around. On a nested `Router` a handler is asked only for
//! the routes there, and sees the path without the prefix; on `get(…)` it sees other methods as well.
//!
//! # The server has to let go of its connections
//!
//! hyper does so if its connection is served `.with_upgrades()`, hyper-util's `auto` builder if
//! it is served with `serve_connection_with_upgrades`, and `axum::serve` always does. Otherwise
//! the client gets its 101 and then the end of the connection, and
//! [`on_failure`](UpgradeLayer::on_failure) hears what is missing.
//!
//! # Layer order
//!
//! Layers outside of this one see the request and the 101; nothing but the handler sees what
//! follows, and no compression, time limit or trace outside applies to it. So what decides whether a
//! client may connect at all belongs outside, or into the handler.
//!
//! A layer outside that answers something else in place of the 101, such as a time limit, is
//! respected: the handler does not run. To tell, this layer relies on the HTTP server asking the
//! body of the 101 whether it has ended, and how long it is. So:
//!
//! - A layer outside that hides this from the body, such as tower-http's
//!   `ResponseBodyTimeoutLayer`, or that reads response bodies and makes new ones, has the client
//!   get its 101 and then the end. Put it inside. The same goes for `RequestBodyTimeoutLayer`,
//!   which hides that a request has no content, so that it is forwarded.
//! - A layer that changes the status of the 101 and keeps its body is noticed, unless the new status
//!   has no content (204 and 304), or a layer has asked the body for its size before. A layer that
//!   asks both questions itself, and then answers something else, is not noticed. Make a new
//!   response instead.
//! - axum replaces the body of the response to HEAD. Where a handler takes HEAD over, put the layer
//!   around the `Router`; on the `Router` or a route, such a client gets its 101 and then the end.
//!
//! Layers that need a body with a default, such as tower-http's `CorsLayer` and `TimeoutLayer`, fit
//! outside if the inner service's body has one.
//!
//! # What is forwarded
//!
//! Requests of another version than HTTP/1.1, CONNECT and TRACE; requests without an `upgrade`
//! option in `Connection`, or whose `Connection` or `Upgrade` is malformed, has more than 64
//! members or more than 8 KiB; requests that offer nothing that a handler is registered for and
//! [accepts](UpgradeHandler::accepts); and requests with content of unknown length, more than the
//! handler's [limit](UpgradeHandler::body_limit), other than the head announces, or expected by an
//! `Expect` that hyper would leave unanswered. hyper's `OnUpgrade`, its promise of the connection, is
//! then still in the request's extensions, for whoever may want it inside.
//!
//! # Shutdown
//!
//! The HTTP server forgets a connection once it is upgraded, and so does its graceful shutdown.
//! [`UpgradeLayer::connections`] does not: [`Connections`] counts them, tells their handlers to
//! end ([`Upgraded::draining`]), waits, and after a deadline aborts what is left. While it drains,
//! requests that a handler would take over get a 503 and the end of the connection. All others are
//! served, and so are those for a protocol that is [optional](UpgradeHandler::is_optional).
//! [`Upgraded::close`] ends a connection so that the client receives everything.
//!
//! # Limits
//!
//! A handshake may take [10 seconds](UpgradeLayer::handshake_timeout) altogether. How many upgraded
//! connections there may be is [not limited](UpgradeLayer::max_connections) unless you say so. The
//! first needs the timer of a tokio runtime, as `#[tokio::main]` has it.
//!
//! # Cancel safety
//!
//! Dropping a response's future drops the handler's decision. Once the 101 is with the server, the
//! handler runs on a task of its own, which ends with what it runs.
//!
//! # What this crate does not do
//!
//! It does not frame WebSocket messages, speak TLS, or switch on HTTP/2 and HTTP/3, which have no
//! `Upgrade`. It makes no connections: it is for servers.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what it adds |
//! |---|---|
//! | `websocket` | `websocket::WebSocket` and `websocket::Offer`, the opening handshake of RFC 6455 |
//! | `h2c` | `h2c::H2c`, HTTP/2 by upgrade in cleartext (RFC 7540 §3.2); read about its two dangers first |
//! | `tracing` | a span for each request that a handler takes over, and events |
//! | `metrics` | counters, a gauge and a histogram, through the `metrics` facade |
//!
//! # Logs
//!
//! With the feature `tracing`, the span `upgrade` has the fields `protocol`, `method` and `path`,
//! and follows from the span of the request. What the handler runs is inside of it.
//!
//! | event | level | fields |
//! |---|---|---|
//! | `declined` | debug, outside the span | `reason`, as in [`Declined`]; `method`, `path` |
//! | `turned away` | info, outside the span | `outcome`: `at_capacity` or `drained`; `protocol`, `method`, `path` |
//! | `rejected` | info | `status`; `reason`, if the [`Rejection`] has one; with the reason `origin`, `origin` and the `host` that it was compared with; outside the span also `protocol`, `method`, `path`, if the inner service returned the [`Rejection`] |
//! | `switched` | info | |
//! | `ended` | info | `duration`; `read` and `written` in bytes, until a `downcast` |
//! | the text of an [`UpgradeError`] | warn; error for a panic | `kind`, `source` |
//!
//! What the example `graceful` logs, with `RUST_LOG=tower_upgrade=debug` and here without the
//! timestamps, of one client that comes and goes, one whose handshake is malformed, one that asks
//! for what nobody takes, one that breaks off, one that is told of the shutdown, one that is left at
//! its deadline, and one that comes during it:
//!
//! ```text
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: switched
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: ended duration=548.728µs read=19 written=11
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: rejected status=400 reason="key"
//! DEBUG tower_upgrade: declined reason="unregistered" method=GET path="/"
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: switched
//!  WARN upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: the handler failed kind=Handler source=WebSocket protocol error: Connection reset without closing handshake source.sources=[Connection reset without closing handshake]
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: ended duration=223.403µs read=0 written=0
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: switched
//!  INFO upgrade{protocol=websocket method=GET path="/stuck"}: tower_upgrade: switched
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: ended duration=704.693209ms read=8 written=14
//!  INFO tower_upgrade: turned away outcome="drained" protocol=websocket method=GET path="/ws"
//!  WARN upgrade{protocol=websocket method=GET path="/stuck"}: tower_upgrade: the connection was left at the deadline of the shutdown kind=Aborted
//!  INFO upgrade{protocol=websocket method=GET path="/stuck"}: tower_upgrade: ended duration=2.204606586s read=0 written=0
//! ```
//!
//! # Metrics
//!
//! With the feature `metrics`:
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `http_upgrades_total` | counter | `protocol`; `outcome`: `switched`, `rejected`, `at_capacity`, `drained`, `timed_out`, `failed`, `panicked`, `aborted`; `reason`, if a [`Rejection`] has one |
//! | `http_upgrades_declined_total` | counter | `reason`: `request`, `connection`, `upgrade`, `unregistered`, `content`, `unaccepted`, `capacity`, as in [`Declined`] |
//! | `http_upgrades_active` | gauge, connections | `protocol` |
//! | `http_upgrade_duration_seconds` | histogram, seconds from the switch to the end | `protocol` |
//!
//! The label `protocol` is the registered name, without a version that a client may choose. A
//! connection that was switched may have a second outcome, when it fails.
//!
//! The reasons of the outcome `rejected` are those that your handlers give with
//! [`Rejection::with_reason`], and those of the features `websocket`: `method`, `host`, `version`,
//! `key`, `origin`, `extensions` and `offer`, and `h2c`: `host`. No client can make another one.
//!
//! Of the same run before the shutdown, by way of Prometheus, without the types and the buckets:
//!
//! ```text
//! http_upgrades_total{protocol="websocket",outcome="switched"} 4
//! http_upgrades_total{protocol="websocket",outcome="rejected",reason="key"} 1
//! http_upgrades_total{protocol="websocket",outcome="failed"} 1
//! http_upgrades_declined_total{reason="unregistered"} 1
//! http_upgrades_active{protocol="websocket"} 2
//! http_upgrade_duration_seconds_sum{protocol="websocket"} 0.0007721309999999999
//! http_upgrade_duration_seconds_count{protocol="websocket"} 2
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod connections;
mod error;
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
#[cfg(feature = "websocket")]
#[cfg_attr(docsrs, doc(cfg(feature = "websocket")))]
pub mod websocket;

pub use crate::{
    connections::{
        Connections, Shutdown,
        stats::{Declined, Stats},
        upgraded::{Downcast, Upgraded},
    },
    error::{BoxError, UpgradeError, UpgradeErrorKind},
    handler::{
        IntoSwitch, UpgradeHandler, When, WithBodyLimit,
        rejection::{OwnBody, Rejection},
        switch::{IntoOutcome, Switch},
    },
    layer::{
        AtCapacity, UpgradeLayer,
        bodies::{Bodies, Mapped, Transparent, Wrapped},
        body::UpgradeBody,
        future::UpgradeFuture,
        make::IntoMakeService,
        outermost::{Outermost, OutermostBody, OutermostFuture, OutermostService},
        service::Upgrade,
    },
    negotiation::{
        Preference,
        protocol::{InvalidProtocol, Protocol},
    },
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
