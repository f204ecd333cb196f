//! [`H2c`]: its options, which offers it accepts, and what it switches to.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, Request, StatusCode, request::Parts};
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;

use super::{
    body::RequestBody,
    head, opening,
    serve::{self, Executor, Serving},
    settings::ClientSettings,
    stream::{StreamService, Streams},
};
use crate::{
    connections::session::FOREVER,
    handler::{UpgradeHandler, rejection::Rejection, switch::Switch},
    handshake::Trailers,
    negotiation::protocol::Protocol,
};

/// Continues the connection in HTTP/2, and answers the upgrading request on stream 1.
///
/// Outer layers of [`UpgradeLayer`](crate::UpgradeLayer) see only the first request of the
/// connection, and TLS must not be below it: read about [the two dangers](super#two-dangers)
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
/// The [module's documentation](super) has an example with its requests.
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
    /// Makes a handler whose `service` answers the upgrading request and all later requests of the
    /// connection.
    ///
    /// The service takes `Request<`[`RequestBody`]`>`. It is cloned for each request, and made ready
    /// before it gets the request.
    pub fn new(service: S) -> Self
    where
        // Not needed here, but where it is missing, the compiler says so at this call.
        S: StreamService,
    {
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
    /// They apply to all streams but the first. The limits of HTTP/1.1 apply to the upgrading request.
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
    /// # use std::convert::Infallible;
    /// # use http::{Request, Response};
    /// # let app = tower::service_fn(|_: Request<tower_upgrade::h2c::RequestBody>| async {
    /// #     Ok::<_, Infallible>(Response::new(String::new()))
    /// # });
    ///
    /// let h2c = H2c::new(app).http2(|http2| {
    ///     http2.max_concurrent_streams(10).keep_alive_interval(Duration::from_secs(30));
    /// });
    /// # drop(h2c);
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
    /// At the limit the server sends GOAWAY, and closes the connection when the client has answered it. A
    /// stream is open from its request until the body of its response has been sent, and until the
    /// service has dropped the body of the request; a connection that has become a tunnel by CONNECT
    /// is never idle.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_upgrade::h2c::H2c;
    /// # use std::convert::Infallible;
    /// # use http::{Request, Response};
    /// # let app = tower::service_fn(|_: Request<tower_upgrade::h2c::RequestBody>| async {
    /// #     Ok::<_, Infallible>(Response::new(String::new()))
    /// # });
    ///
    /// let minute = Duration::from_secs(60);
    /// let h2c = H2c::new(app).idle_timeout(minute).max_age(60 * minute);
    /// # drop(h2c);
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout.min(FOREVER));
        self
    }

    /// Sets how old a connection may become, from its switch on. The default is no limit.
    ///
    /// At the limit the server sends GOAWAY: the client opens no more streams, and the connection is closed
    /// when the open ones have ended. Clients reconnect, and a load balancer can send them to another
    /// server. See [`idle_timeout`](Self::idle_timeout) for an example.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age.min(FOREVER));
        self
    }

    /// Leaves requests with a chunked body to HTTP/1.1. By default the body is read, up to the
    /// [limit](UpgradeHandler::body_limit), and the request is upgraded.
    ///
    /// The length of a chunked body is known only at its end. If a body exceeds the limit, part of it has
    /// been read, and the request cannot be forwarded any more: the client gets a 413, and the connection is
    /// closed. Call this, or raise the limit, if clients that offer h2c stream large uploads.
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

    /// Chooses which extensions of the upgrading request all requests of its connection have. All by
    /// default.
    ///
    /// # Example
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use http::Extensions;
    /// use tower_upgrade::h2c::H2c;
    /// # use std::convert::Infallible;
    /// # use http::{Request, Response};
    /// # let app = tower::service_fn(|_: Request<tower_upgrade::h2c::RequestBody>| async {
    /// #     Ok::<_, Infallible>(Response::new(String::new()))
    /// # });
    ///
    /// let h2c = H2c::new(app).extensions(|first| {
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

impl<S> UpgradeHandler for H2c<S>
where
    S: StreamService,
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
        let invalid_host = || Rejection::from(StatusCode::BAD_REQUEST).with_reason("host");
        std::future::ready(self.switch(request).ok_or_else(invalid_host))
    }
}

impl<S> H2c<S>
where
    S: StreamService,
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
        let (service, _handle) =
            tower_test::mock::pair::<Request<RequestBody>, http::Response<String>>();
        let h2c = H2c::new(service);
        let mut first = Extensions::new();
        first.insert::<Protocol<'static>>("h2c".parse().unwrap());
        let carried = h2c.carried(first.clone());
        let counted = allocation_counter::measure(|| drop(std::hint::black_box(carried.clone())));
        assert_eq!(counted.count_total, 0);

        first.insert(7_u8);
        let carried = h2c.carried(first);
        assert_eq!((carried.len(), carried.get()), (1, Some(&7_u8)));
    }
}
