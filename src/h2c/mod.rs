//! HTTP/1.1 connections that go on in HTTP/2, in cleartext (RFC 7540 §3.2).
//!
//! # Two dangers
//!
//! **Layers outside [`UpgradeLayer`](crate::UpgradeLayer) see only the first request of such a
//! connection.** Every later one is a stream inside the connection that the layer took over, and
//! goes straight to the service that was given to [`H2c::new`]. Authentication that stands outside
//! is passed by whoever makes one request that it lets through (CVE-2026-32136 was that). So
//! whatever every request has to go through belongs inside, around the service that is named
//! twice:
//!
//! ```text
//! right   UpgradeLayer::new().on("h2c", H2c::new(auth.layer(app))).layer(auth.layer(app))
//! wrong   auth.layer(UpgradeLayer::new().on("h2c", H2c::new(app)).layer(app))
//! ```
//!
//! **Cleartext only.** RFC 9113 §3.2 does not allow HTTP/2 to be negotiated in this way on TLS,
//! where ALPN does it, and nothing in the request tells a layer whether there is TLS below. Do not
//! register [`H2c`] on a server that is reached through TLS; nor behind a proxy that passes
//! `Upgrade` on without knowing it, and whose rules its clients could then leave behind.
//!
//! # When to use it
//!
//! RFC 9113 has dropped this upgrade. It is there for the clients that ask for it and do not know
//! beforehand what the server can do: Java's `HttpClient` on every cleartext request, `curl
//! --http2`, `nghttp -u`. Where both ends are yours, prefer prior knowledge, which HTTP/2 begins
//! with the first octet, and hyper-util's `auto` builder serves on the same port. It has no first
//! request that is different.
//!
//! # What happens
//!
//! A request is taken over if it has exactly one `HTTP2-Settings` field, which is well-formed and
//! named in `Connection`, and if HTTP/2 can answer it: its content is not larger than
//! [`H2c::max_body`], its header section not larger than the server's
//! `SETTINGS_MAX_HEADER_LIST_SIZE`. Every other request is the inner service's, as it came, and
//! every client goes on from there in HTTP/1.1. Without one valid `Host` the answer is a 400
//! (RFC 9112 §3.2).
//!
//! The answer to the request comes on stream 1, without waiting for more octets of the client.
//! The service gets it as an HTTP/2 request like those that follow: without the fields that were
//! about the connection, and with its content as a body.
//!
//! # Extensions
//!
//! Every request of the connection has the extensions that the first one had when it came to
//! [`UpgradeLayer`](crate::UpgradeLayer), so that a peer's address is known on all streams. What a
//! router says about the first request does not hold for the others, though. A layer put on with
//! axum's `Router::layer` runs behind the router, and sees its path parameters among the
//! extensions: put `UpgradeLayer` around the router instead, or choose with [`H2c::extensions`].
//!
//! # Shutdown
//!
//! A [drain](crate::Connections::drain) sends GOAWAY: the client opens no more streams on the
//! connection, and it ends with the last of those that run. A service whose answers have no end of
//! their own waits for [`Connections::draining`](crate::Connections::draining), of which it is given
//! a clone.
//!
//! # Example
//!
//! A service that asks for authorization, on whatever way the request has come.
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
//! assert!(!answer.windows(6).any(|octets| octets == b"secret"));
//! assert_eq!(*refused.lock().unwrap(), [Version::HTTP_2]);
//! # Ok(())
//! # }
//! ```

mod activity;
mod body;
mod clock;
mod head;
mod io;
mod opening;
mod serve;
mod settings;
mod stream;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, Request, Response, StatusCode, request::Parts};
use http_body::Body;
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use tower::Service;

pub use self::{
    body::{RequestBody, RequestBodyLayer, WithRequestBody},
    serve::Executor,
};
use self::{serve::Serving, settings::ClientSettings, stream::Streams};
use crate::{
    connections::session::FOREVER,
    error::BoxError,
    handler::{UpgradeHandler, rejection::Rejection, switch::Switch},
    handshake::Trailers,
    negotiation::protocol::Protocol,
};

/// Continues the connection in HTTP/2, and answers the upgrading request on stream 1.
///
/// Outer layers of [`UpgradeLayer`](crate::UpgradeLayer) see only the first request of the
/// connection, and TLS must not be below it: read about [the two dangers](self#two-dangers)
/// before you register it.
///
/// # Example
///
/// ```
/// use axum::{Router, routing::get};
/// use tower::Layer;
/// use tower_upgrade::{UpgradeLayer, h2c::H2c};
///
/// let app: Router = Router::new().route("/", get(|| async { "hello" }));
/// let layer = UpgradeLayer::new().on("h2c", H2c::new(app.clone()));
/// let app = layer.layer(app);
/// # let _ = app;
/// ```
///
/// The [module's documentation](self) has an example with its requests.
#[derive(Clone)]
#[must_use = "a handler does nothing unless it is registered"]
pub struct H2c<S> {
    service: S,
    http2: http2::Builder<Executor>,
    idle_timeout: Option<Duration>,
    max_age: Option<Duration>,
    reads_chunked_body: bool,
    extensions: Option<Arc<ChooseExtensions>>,
}

type ChooseExtensions = dyn Fn(&Extensions) -> Extensions + Send + Sync;

impl<S> H2c<S> {
    /// Makes a handler that has `service` answer the streams: the upgrading request, and all that
    /// follow on its connection.
    ///
    /// The service takes `Request<`[`RequestBody`]`>`. It is cloned for each request, and made ready
    /// before it gets the request.
    pub fn new(service: S) -> Self {
        let mut http2 = http2::Builder::new(Executor::new());
        // Without a timer hyper panics over options that need one.
        http2.timer(TokioTimer::new());
        Self {
            service,
            http2,
            idle_timeout: None,
            max_age: None,
            reads_chunked_body: true,
            extensions: None,
        }
    }

    /// Sets hyper's options for HTTP/2. The defaults are hyper's, with a timer of tokio's.
    ///
    /// They apply to the streams behind the first. The upgrading request has passed the limits of
    /// HTTP/1.1.
    ///
    /// # Panics
    ///
    /// Panics if an option is set to a value that HTTP/2 does not allow.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_upgrade::h2c::H2c;
    ///
    /// let h2c = H2c::new(()).http2(|http2| {
    ///     http2.max_concurrent_streams(10).keep_alive_interval(Duration::from_secs(30));
    /// });
    /// assert!(format!("{h2c:?}").contains("max_concurrent_streams: Some(10)"));
    /// ```
    #[track_caller]
    pub fn http2<F>(mut self, configure: F) -> Self
    where
        F: FnOnce(&mut http2::Builder<Executor>),
    {
        configure(&mut self.http2);
        serve::check(&self.http2);
        self
    }

    /// Sets how long a connection may be without a stream. The default is no limit.
    ///
    /// Then the server sends GOAWAY, and the connection is closed when the client has answered it. A
    /// stream is open from its request until the body of its response has been sent; a connection
    /// that has become a tunnel by CONNECT is never idle.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_upgrade::h2c::H2c;
    ///
    /// let minute = Duration::from_secs(60);
    /// let h2c = H2c::new(()).idle_timeout(minute).max_age(60 * minute);
    /// assert!(format!("{h2c:?}").contains("idle_timeout: Some(60s), max_age: Some(3600s)"));
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout.min(FOREVER));
        self
    }

    /// Sets how old a connection may become, from its switch on. The default is no limit.
    ///
    /// Then the server sends GOAWAY: the client opens no more streams, and the connection is closed
    /// when those that are open have ended. So clients come back, and a load balancer can send them
    /// to another server. See [`idle_timeout`](Self::idle_timeout) for an example.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age.min(FOREVER));
        self
    }

    /// Has requests with a chunked body answered in HTTP/1.1. By default such a body is read, up to
    /// the [limit](UpgradeHandler::body_limit), and the request is upgraded.
    ///
    /// The length of a chunked body is known at its end only. A body that turns out to be above the
    /// limit has been read in part by then, so its request cannot be answered in HTTP/1.1 any more:
    /// the client gets a 413, and the connection is closed. Call this, or raise the limit, if clients
    /// that offer h2c stream large uploads.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::{UpgradeHandler, h2c::H2c};
    /// # use std::convert::Infallible;
    /// # use http::{Request, Response};
    /// # let app = tower::service_fn(|_: Request<tower_upgrade::h2c::RequestBody>| async {
    /// #     Ok::<_, Infallible>(Response::new(String::new()))
    /// # });
    ///
    /// assert!(H2c::new(app).reads_chunked_body());
    /// assert!(!H2c::new(app).forward_chunked_bodies().reads_chunked_body());
    /// assert_eq!(H2c::new(app).body_limit(), 64 * 1024);
    /// assert_eq!(H2c::new(app).with_body_limit(1024 * 1024).body_limit(), 1024 * 1024);
    /// ```
    pub fn forward_chunked_bodies(mut self) -> Self {
        self.reads_chunked_body = false;
        self
    }

    /// Chooses from the extensions of the upgrading request those that all requests of its
    /// connection have. The default is all.
    ///
    /// # Example
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use http::Extensions;
    /// use tower_upgrade::h2c::H2c;
    ///
    /// let h2c = H2c::new(()).extensions(|first| {
    ///     let mut all = Extensions::new();
    ///     if let Some(peer) = first.get::<SocketAddr>() {
    ///         all.insert(*peer);
    ///     }
    ///     all
    /// });
    /// # drop(h2c);
    /// ```
    pub fn extensions<F>(mut self, choose: F) -> Self
    where
        F: Fn(&Extensions) -> Extensions + Send + Sync + 'static,
    {
        self.extensions = Some(Arc::new(choose));
        self
    }

    /// Returns what the streams of a connection have from the request that upgrades it.
    fn carried(&self, mut first: Extensions) -> Extensions {
        // It is about the one request, and costs every other one an allocation.
        first.remove::<Protocol<'static>>();
        match &self.extensions {
            Some(choose) => choose(&first),
            None if first.is_empty() => Extensions::new(),
            None => first,
        }
    }
}

impl<S, B> UpgradeHandler for H2c<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn accepts(&self, head: &Parts, protocol: &Protocol<'_>) -> bool {
        // RFC 7540 §3.2 has `h2` ignored, whatever the handler is registered for.
        protocol.name().eq_ignore_ascii_case("h2c")
            && protocol.version().is_none()
            && ClientSettings::parse(&head.headers).is_some()
            && head::has_path(head)
    }

    fn body_limit(&self) -> usize {
        BODY_LIMIT
    }

    fn is_optional(&self) -> bool {
        true
    }

    fn reads_chunked_body(&self) -> bool {
        self.reads_chunked_body
    }

    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send {
        std::future::ready(self.switch(request).ok_or_else(|| StatusCode::BAD_REQUEST.into()))
    }
}

impl<S, B> H2c<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// Returns `None` for a request that HTTP/1.1 does not allow to be answered.
    fn switch(&self, request: Request<Bytes>) -> Option<Switch> {
        let (head, body) = request.into_parts();
        let opening = opening::opening(ClientSettings::parse(&head.headers)?);
        let mut head = head::convert(head)?;
        let trailers = head.extensions.remove::<Trailers>().map(|Trailers(trailers)| trailers);
        head.extensions = self.carried(head.extensions);
        let first = Request::from_parts(head, RequestBody::read(body, trailers));
        let serving = Serving {
            opening,
            http2: self.http2.clone(),
            idle_timeout: self.idle_timeout,
            max_age: self.max_age,
        };
        let service = self.service.clone();
        Some(Switch::to(move |io| serve::serve(io, serving, Streams::new(service, first))))
    }
}

impl<S> fmt::Debug for H2c<S>
where
    S: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, http2, idle_timeout, max_age, reads_chunked_body, extensions: _ } =
            self;
        f.debug_struct("H2c")
            .field("service", service)
            .field("http2", http2)
            .field("idle_timeout", idle_timeout)
            .field("max_age", max_age)
            .field("reads_chunked_body", reads_chunked_body)
            .finish_non_exhaustive()
    }
}

/// Enough for a form, and little enough to be kept for every client that asks for it.
const BODY_LIMIT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_a_request_without_extensions_pay_nothing_for_them() {
        let mut first = Extensions::new();
        first.insert::<Protocol<'static>>("h2c".parse().unwrap());
        let carried = H2c::new(()).carried(first.clone());
        let counted = allocation_counter::measure(|| drop(std::hint::black_box(carried.clone())));
        assert_eq!(counted.count_total, 0);

        first.insert(7_u8);
        let carried = H2c::new(()).carried(first);
        assert_eq!((carried.len(), carried.get()), (1, Some(&7_u8)));
    }
}
