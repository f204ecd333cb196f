//! The policies that users set: for requests that no handler takes, and for extended CONNECT.

use tower::Layer;

use super::{
    UpgradeLayer,
    bodies::{Mapped, Wrapped},
    none::NoService,
    service::Upgrade,
};
use crate::handler::rejection::OwnBody;

impl<M> UpgradeLayer<M> {
    /// Requires an upgrade: a request that no handler accepts gets a 426 with the registered protocols, and
    /// is never forwarded. Off by default.
    ///
    /// [`into_service`](Self::into_service) is the same without an inner service.
    ///
    /// The `Upgrade` header of the 426 lists the protocols in the order of registration (RFC 9110
    /// §15.5.22); `"name/*"` is listed as `name`. The connection stays open, unless the request has a body
    /// or is a CONNECT. Versions without `Upgrade` get another status:
    ///
    /// | request | status |
    /// |---|---|
    /// | HTTP/1.1 | 426 |
    /// | HTTP/1.0 | 505 |
    /// | CONNECT in HTTP/2, for a protocol that is not accepted or for none | 501 (RFC 9220 §3) |
    /// | any other in HTTP/2, with [`extended_connect`](Self::extended_connect) | 405 and `Allow: CONNECT` |
    /// | any other in HTTP/2, without it | 505 |
    /// | any, if no protocol is registered | 501 |
    ///
    /// A request that the inner service [is asked about](Self::on_inner) still gets its answer. Handlers of
    /// [optional](crate::UpgradeHandler::is_optional) protocols, and
    /// [`AtCapacity::Forward`](crate::AtCapacity::Forward), forward nothing either: without a place the
    /// client gets a 503.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    /// # use std::convert::Infallible;
    /// # use http::Response;
    /// # use http_body_util::Full;
    /// # use tower::{Layer, ServiceExt, service_fn};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let inner = service_fn(|_: Request<Full<Bytes>>| async {
    /// #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("plain")))
    /// # });
    ///
    /// let handler = |_: Request<Bytes>| async { Switch::to(|_: Upgraded| async {}) };
    /// let layer = UpgradeLayer::new().on("feed/2", handler).on("feed/1", handler).required();
    /// let response = layer.layer(inner).oneshot(Request::new(Full::default())).await?;
    /// assert_eq!(response.status(), 426);
    /// assert_eq!(response.headers()["upgrade"], "feed/2, feed/1");
    /// assert_eq!(response.headers()["connection"], "upgrade");
    /// # Ok(())
    /// # }
    /// ```
    pub fn required(mut self) -> Self {
        self.config_mut().policies.required = true;
        self
    }

    /// Advertises the registered protocols in forwarded responses to HTTP/1.1 requests, with `Upgrade` and
    /// `Connection: upgrade` (RFC 9110 §7.8). The default is not to.
    ///
    /// A client learns from it what it could ask for with its next request. Protocols that a response
    /// already lists are not repeated. Responses with a 1xx status and 426 stay as they are, and so do
    /// those to HTTP/1.0, HTTP/2 and CONNECT.
    ///
    /// Do not rely on it for security: an attacker between client and server can remove the headers.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    /// # use std::convert::Infallible;
    /// # use http::Response;
    /// # use http_body_util::Full;
    /// # use tower::{Layer, ServiceExt, service_fn};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let inner = service_fn(|_: Request<Full<Bytes>>| async {
    /// #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("plain")))
    /// # });
    ///
    /// let handler = |_: Request<Bytes>| async { Switch::to(|_: Upgraded| async {}) };
    /// let layer = UpgradeLayer::new().on("feed/1", handler).advertise();
    /// let response = layer.layer(inner).oneshot(Request::new(Full::default())).await?;
    /// assert_eq!(response.status(), 200);
    /// assert_eq!(response.headers()["upgrade"], "feed/1");
    /// assert_eq!(response.headers()["connection"], "upgrade");
    /// # Ok(())
    /// # }
    /// ```
    pub fn advertise(mut self) -> Self {
        self.config_mut().policies.advertise = true;
        self
    }

    /// Removes the offer from forwarded requests, for an inner service that sends them on to another server.
    /// Off by default.
    ///
    /// If such a service passed an `Upgrade` header on, the other server could switch the connection, and
    /// the client would reach it past all routes and checks.
    ///
    /// `Upgrade` and `HTTP2-Settings` are removed, the `Connection` options of these names, and hyper's
    /// `OnUpgrade` from the extensions. All other headers stay, in their order, those that `Connection`
    /// names included: an outer layer may have added them, and a client must not be able to remove them.
    ///
    /// A request that the inner service [is asked about](Self::on_inner) keeps the offer of that protocol,
    /// and its `OnUpgrade`, and loses all others. An extended CONNECT that no handler accepts is not
    /// forwarded: its `:protocol` is the offer, and without it there is no such request. It is answered with
    /// 501 (RFC 9220 §3). A plain CONNECT loses its `OnUpgrade`, and nothing else: answer it with an error,
    /// since a 2xx opens a tunnel for the client.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_upgrade::UpgradeLayer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    ///
    /// // Stands for a reverse proxy. Answers how many headers it got.
    /// let proxy = service_fn(|request: Request<Full<Bytes>>| async move {
    ///     assert_eq!(request.headers()["accept"], "*/*");
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::from(request.headers().len().to_string())))
    /// });
    /// let request = Request::get("/")
    ///     .header("accept", "*/*")
    ///     .header("connection", "Upgrade, HTTP2-Settings")
    ///     .header("upgrade", "h2c")
    ///     .header("http2-settings", "AAMAAABk")
    ///     .body(Full::default())?;
    /// let response = UpgradeLayer::new().strip().layer(proxy).oneshot(request).await?;
    /// # use http_body_util::BodyExt;
    /// assert_eq!(response.into_body().collect().await?.to_bytes(), "1");
    /// # Ok(())
    /// # }
    /// ```
    pub fn strip(mut self) -> Self {
        self.config_mut().policies.strip = true;
        self
    }

    /// Accepts an extended CONNECT of HTTP/2 as an offer (RFC 8441), as browsers send it for a WebSocket. Off
    /// by default: it is forwarded.
    ///
    /// The `:protocol` of the request is matched with the same registrations, and the same handlers decide
    /// and run. Only the wire differs:
    ///
    /// - The request's method is CONNECT and its version HTTP/2. In axum, `any(…)` routes it and `get(…)`
    ///   answers 405.
    /// - The answer to a switch is 200, without `Upgrade` and `Connection`. Headers of the
    ///   [`Switch`](crate::Switch) are sent with it.
    /// - A [`Rejection`](crate::Rejection) cannot be a 426 or a 2xx.
    /// - The connection is one stream. [`max_connections`](Self::max_connections) counts each stream, and
    ///   [`Upgraded::downcast`](crate::Upgraded::downcast) returns the connection unchanged.
    /// - The client of an [aborted](crate::Connections::shutdown) connection sees the end of the stream, and
    ///   no error: hyper cannot reset the stream.
    /// - A client that resets the stream with `CANCEL`, as browsers do, looks like one that ends it: hyper
    ///   reads EOF. A protocol whose end matters has to mark it in its bytes, as WebSocket does.
    ///
    /// An extended CONNECT that no handler takes is forwarded. The inner service must not answer it with a
    /// 2xx, which the client takes for a switch.
    ///
    /// # The server has to announce it
    ///
    /// Clients send an extended CONNECT only if the server's settings allow it, and hyper resets those that
    /// come without. `axum::serve` announces it with axum's feature `http2`. With hyper and hyper-util, call
    /// `enable_connect_protocol()`:
    ///
    /// - `hyper::server::conn::http2::Builder::enable_connect_protocol`
    /// - `hyper_util::server::conn::auto::Builder`: `builder.http2().enable_connect_protocol()`
    #[cfg_attr(
        feature = "h2c",
        doc = "- [`H2c`](crate::h2c::H2c): `H2c::new(service).http2(|http2| { http2.enable_connect_protocol(); })`"
    )]
    ///
    /// A layer cannot see the setting. If clients speak HTTP/2, and upgrade on connections of HTTP/1.1, a
    /// warning in the log (feature `tracing`) says once that the setting may be missing.
    ///
    /// Chromium opens a WebSocket on a connection of HTTP/2 that it has for a page or a request, and a new
    /// connection of HTTP/1.1 if there is none, as after a restart of the server. Serve both versions. In
    /// that case, ignore the warning.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response, StatusCode, Version};
    /// use http_body_util::Empty;
    /// use hyper::{body::Incoming, client, ext::Protocol, server};
    /// use hyper_util::{
    ///     rt::{TokioExecutor, TokioIo},
    ///     service::TowerToHyperService,
    /// };
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tower::{Layer, service_fn};
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let layer = UpgradeLayer::new()
    ///     .on("greet", |_request: Request<Bytes>| async {
    ///         Switch::to(|mut io: Upgraded| async move { io.write_all(b"hello").await })
    ///     })
    ///     .extended_connect();
    /// let service = layer.layer(service_fn(|_: Request<Incoming>| async {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
    /// }));
    /// let (client, server) = tokio::io::duplex(1024);
    /// tokio::spawn(
    ///     server::conn::http2::Builder::new(TokioExecutor::new())
    ///         .enable_connect_protocol()
    ///         .serve_connection(TokioIo::new(server), TowerToHyperService::new(service)),
    /// );
    ///
    /// let (mut client, connection) =
    ///     client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await?;
    /// tokio::spawn(connection);
    /// // The server's settings come with its first answer.
    /// client.send_request(Request::get("http://a.test/").body(Empty::<Bytes>::new())?).await?;
    /// let request = Request::connect("http://a.test/")
    ///     .version(Version::HTTP_2)
    ///     .extension(Protocol::from_static("greet"))
    ///     .body(Empty::<Bytes>::new())?;
    /// let response = client.send_request(request).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    /// let mut text = String::new();
    /// TokioIo::new(hyper::upgrade::on(response).await?).read_to_string(&mut text).await?;
    /// assert_eq!(text, "hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn extended_connect(mut self) -> Self {
        self.config_mut().policies.extended_connect.get_or_insert_default();
        self
    }
}

impl UpgradeLayer<Wrapped> {
    /// Makes a service without an inner service, for an endpoint that only upgrades. It
    /// [requires](Self::required) an upgrade of every request.
    ///
    /// # Example
    ///
    /// ```
    /// use axum::{
    ///     Router,
    ///     body::{Body, Bytes},
    ///     http::{Request, StatusCode},
    /// };
    /// use tower::ServiceExt;
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let feed = |_: Request<Bytes>| async { Switch::to(|_: Upgraded| async {}) };
    /// let app: Router =
    ///     Router::new().route_service("/feed", UpgradeLayer::new().on("feed/1", feed).into_service());
    /// let response = app.oneshot(Request::get("/feed").body(Body::empty())?).await?;
    /// assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
    /// assert_eq!(response.headers()["upgrade"], "feed/1");
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_service(self) -> Upgrade<NoService<OwnBody>> {
        self.required().layer(NoService::new(|body| body))
    }
}

impl<B> UpgradeLayer<Mapped<B>> {
    /// Makes a service without an inner service, which answers with the given body. See
    /// [`UpgradeLayer::into_service`](UpgradeLayer::into_service).
    pub fn into_service(self) -> Upgrade<NoService<B>, Mapped<B>> {
        let Mapped(body) = self.bodies;
        self.required().layer(NoService::new(body))
    }
}
