//! [`UpgradeHandler`], the trait of a protocol, implemented for closures.

pub(crate) mod answer;
pub(crate) mod narrowed;
pub(crate) mod outcome;
pub(crate) mod rejection;
pub(crate) mod switch;

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::{Request, request};

use self::{
    narrowed::{When, WithBodyLimit, WithMaxLifetime},
    rejection::Rejection,
    switch::Switch,
};
use crate::negotiation::protocol::Protocol;

/// Decides about requests that offer a protocol, and runs the protocol on their connections.
///
/// An `async` function or closure from `Request<Bytes>` to [`Switch`], or to a `Result` of it, is a
/// handler. Register it with [`UpgradeLayer::on`](crate::UpgradeLayer::on).
///
/// The layer asks a handler in two steps:
///
/// 1. [`accepts`](Self::accepts) and [`body_limit`](Self::body_limit) decide at once whether the
///    handler takes over the request. If no handler does, the inner service gets the request untouched.
/// 2. [`upgrade`](Self::upgrade) decides, asynchronously, whether to switch or to reject the request.
///
/// # Example: a handler that is a closure
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, StatusCode};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower_upgrade::{Switch, UpgradeHandler, UpgradeLayer, Upgraded};
/// # use hyper::body::Incoming;
/// # use hyper_util::{rt::TokioIo, service::TowerToHyperService};
/// # use tower::Layer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let handler = |request: Request<Bytes>| async move {
///     if !request.headers().contains_key("authorization") {
///         return Err(StatusCode::UNAUTHORIZED);
///     }
///     Ok(Switch::to(|_io: Upgraded| async {}))
/// };
/// let layer = UpgradeLayer::new().on("chat/1", handler.when(|head| head.uri.path() == "/chat"));
/// # let inner = tower::service_fn(|_: Request<Incoming>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// # });
/// # let (mut client, server) = tokio::io::duplex(1024);
/// # let service = TowerToHyperService::new(layer.layer(inner));
/// # tokio::spawn(
/// #     hyper::server::conn::http1::Builder::new()
/// #         .serve_connection(TokioIo::new(server), service)
/// #         .with_upgrades(),
/// # );
///
/// // `layer` wraps a service, and `client` is the other end of a connection to it.
/// let offer = "Host: a.test\r\nConnection: upgrade\r\nUpgrade: chat/1";
/// let elsewhere = format!("GET / HTTP/1.1\r\n{offer}\r\n\r\n");
/// let anonymous = format!("GET /chat HTTP/1.1\r\n{offer}\r\n\r\n");
/// let authorized = format!("GET /chat HTTP/1.1\r\n{offer}\r\nAuthorization: Basic YTpi\r\n\r\n");
/// client.write_all([elsewhere, anonymous, authorized].concat().as_bytes()).await?;
/// let mut answers = String::new();
/// client.read_to_string(&mut answers).await?;
/// let answers: Vec<_> =
///     answers.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).collect();
/// assert_eq!(answers, ["200 OK", "401 Unauthorized", "101 Switching Protocols"]);
/// # Ok(())
/// # }
/// ```
///
/// # Example: a handler that is a type
///
/// ```
/// use bytes::Bytes;
/// use http::{Method, Request, request};
/// use tower_upgrade::{Protocol, Rejection, Switch, UpgradeHandler, Upgraded};
///
/// struct Echo;
///
/// impl UpgradeHandler for Echo {
///     fn accepts(&self, head: &request::Parts, _protocol: &Protocol<'_>) -> bool {
///         head.method == Method::GET
///     }
///
///     async fn upgrade(&self, _request: Request<Bytes>) -> Result<Switch, Rejection> {
///         Ok(Switch::to(|io: Upgraded| async {
///             let (mut reader, mut writer) = tokio::io::split(io);
///             tokio::io::copy(&mut reader, &mut writer).await.map(drop)
///         }))
///     }
/// }
///
/// let (head, ()) = Request::post("/").body(())?.into_parts();
/// assert!(!Echo.accepts(&head, &"echo".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle an upgrade",
    label = "not a handler",
    note = "a handler is an `async` function or closure from `http::Request<bytes::Bytes>` to `Switch`, \
            or to a `Result` of `Switch` and a `Rejection`, a `StatusCode`, `(StatusCode, &'static str)` \
            or a `Response`",
    note = "it has no other parameters: move state into a closure, and read headers, path and body \
            from the request"
)]
pub trait UpgradeHandler: Send + Sync + 'static {
    /// Whether this handler takes over the request. The default is `true`.
    ///
    /// The request offers `protocol`, and its `Upgrade` and `Connection` headers are well-formed. The
    /// name in `protocol` is spelled as in the registration. The version is the offered one if the
    /// registration ends in `/*`. The rest of `head` is not checked.
    ///
    /// This runs in [`Service::call`](tower::Service::call), so it must not block.
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        let _ = (head, protocol);
        true
    }

    /// Limits the body of a request that this handler takes over, in bytes. The default is 0.
    ///
    /// The layer reads the whole body before it calls [`upgrade`](Self::upgrade), because unread
    /// bytes would be taken for bytes of the new protocol (RFC 9110 §7.8).
    ///
    /// A request with a longer body is not accepted, and [`accepts`](Self::accepts) is not called.
    /// The same goes for a chunked body, unless the handler [reads it](Self::reads_chunked_body). If
    /// the body does not have the length that its head announces, the client gets a 400 and the
    /// connection is closed.
    fn body_limit(&self) -> usize {
        0
    }

    /// Whether the inner service may answer in HTTP/1.1 if there is no place for the connection. The
    /// default is `false`: the client gets a 503.
    ///
    /// The layer asks during a drain, and when
    /// [`UpgradeLayer::max_connections`](crate::UpgradeLayer::max_connections) is reached. If this is
    /// `true`, the inner service answers, and the request counts as
    /// [`Declined::capacity`](crate::Declined::capacity). With
    /// [`AtCapacity::Forward`](crate::AtCapacity::Forward) the inner service also answers requests of
    /// other handlers, except during a drain.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tower_upgrade::{Switch, UpgradeHandler, Upgraded};
    ///
    /// let handler = |_request: Request<Bytes>| async { Switch::to(|_io: Upgraded| async {}) };
    /// assert!(!handler.is_optional());
    /// ```
    fn is_optional(&self) -> bool {
        false
    }

    /// Whether chunked bodies are read, up to [`body_limit`](Self::body_limit). The default is
    /// `false`: a request with a chunked body is not accepted.
    ///
    /// The length of a chunked body is known only at its end. If it exceeds the limit, the request
    /// cannot be forwarded any more: the client gets a 413, and the connection is closed.
    /// [`with_chunked_body_limit`] sets both.
    ///
    /// [`with_chunked_body_limit`]: Self::with_chunked_body_limit
    fn reads_chunked_body(&self) -> bool {
        false
    }

    /// Decides whether to switch.
    ///
    /// The request has its whole body. Its extensions have the negotiated [`Protocol`]`<'static>` and
    /// those that outer layers added, but not hyper's `OnUpgrade`, which the layer awaits.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] is sent to the client, and the connection stays HTTP/1.1.
    ///
    /// # Panics
    ///
    /// A panic in this function or its future is caught. The client gets a 500, the connection
    /// stays HTTP/1.1, and [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure) receives the
    /// panic's message.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped if an outer layer drops the request, such as at a time limit. It is also
    /// dropped if the client disconnects and the HTTP server notices. hyper does not notice while bytes
    /// that the client sent early are unread.
    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send;

    /// Takes over only requests for which `predicate` returns `true`.
    ///
    /// Several handlers can share a protocol this way, each on a path of its own. The predicate is
    /// called before [`accepts`](Self::accepts).
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tower_upgrade::{Switch, UpgradeHandler, Upgraded};
    ///
    /// let handler = |_request: Request<Bytes>| async { Switch::to(|_io: Upgraded| async {}) };
    /// let handler = handler.when(|head| head.uri.path() == "/chat");
    ///
    /// let protocol = "chat".parse()?;
    /// let (head, ()) = Request::get("/feed").body(())?.into_parts();
    /// assert!(!handler.accepts(&head, &protocol));
    /// let (head, ()) = Request::get("/chat").body(())?.into_parts();
    /// assert!(handler.accepts(&head, &protocol));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn when<P>(self, predicate: P) -> When<Self, P>
    where
        Self: Sized,
        P: Fn(&request::Parts) -> bool + Send + Sync + 'static,
    {
        When { handler: self, predicate }
    }

    /// Sets [`body_limit`](Self::body_limit), in bytes. Whether chunked bodies are read does not change.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tower_upgrade::{Switch, UpgradeHandler, Upgraded};
    ///
    /// let handler = |_request: Request<Bytes>| async { Switch::to(|_io: Upgraded| async {}) };
    /// assert_eq!(handler.body_limit(), 0);
    /// assert_eq!(handler.with_body_limit(1024).body_limit(), 1024);
    /// ```
    fn with_body_limit(self, bytes: usize) -> WithBodyLimit<Self>
    where
        Self: Sized,
    {
        let chunked = self.reads_chunked_body();
        WithBodyLimit { handler: self, bytes, chunked }
    }

    /// Sets [`body_limit`](Self::body_limit), in bytes, and [reads chunked
    /// bodies](Self::reads_chunked_body) up to it.
    ///
    /// Docker's clients send a chunked body with `exec` and `attach`.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tower_upgrade::{Switch, UpgradeHandler, Upgraded};
    ///
    /// let handler = |_request: Request<Bytes>| async { Switch::to(|_io: Upgraded| async {}) };
    /// assert!(!handler.with_body_limit(1024).reads_chunked_body());
    /// assert!(handler.with_chunked_body_limit(1024).reads_chunked_body());
    /// ```
    fn with_chunked_body_limit(self, bytes: usize) -> WithBodyLimit<Self>
    where
        Self: Sized,
    {
        WithBodyLimit { handler: self, bytes, chunked: true }
    }

    /// Limits how long the connections of this handler may live, in place of
    /// [`UpgradeLayer::max_lifetime`](crate::UpgradeLayer::max_lifetime); see there for what happens then.
    ///
    /// A handler that sets [`Switch::max_lifetime`] itself keeps its limit.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tower_upgrade::{Switch, UpgradeHandler, UpgradeLayer, Upgraded};
    ///
    /// let feed = |_: Request<Bytes>| async { Switch::to(|_: Upgraded| async {}) };
    /// let admin = feed.clone().with_max_lifetime(Duration::from_secs(15 * 60));
    /// let layer = UpgradeLayer::new()
    ///     .on("feed", feed)
    ///     .on("admin", admin)
    ///     .max_lifetime(Duration::from_secs(24 * 60 * 60));
    /// # let _ = layer;
    /// ```
    fn with_max_lifetime(self, lifetime: Duration) -> WithMaxLifetime<Self>
    where
        Self: Sized,
    {
        WithMaxLifetime { handler: self, lifetime }
    }
}

impl<F, Fut> UpgradeHandler for F
where
    F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoSwitch,
{
    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send {
        let decision = self(request);
        async { decision.await.into_switch() }
    }
}

/// The return type of a handler that is a function or closure: a [`Switch`], or a `Result` of it and
/// anything that converts into a [`Rejection`].
///
/// # Example
///
/// ```
/// use http::StatusCode;
/// use tower_upgrade::{IntoSwitch, Switch};
///
/// assert!(Err::<Switch, _>(StatusCode::FORBIDDEN).into_switch().is_err());
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "this handler returns `{Self}`",
    note = "a handler returns a `Switch`, or a `Result` of `Switch` and a `Rejection`, a `StatusCode`, \
            `(StatusCode, &'static str)` or a `Response`"
)]
pub trait IntoSwitch {
    /// Converts the decision.
    ///
    /// # Errors
    ///
    /// Fails if the handler rejected the request.
    fn into_switch(self) -> Result<Switch, Rejection>;
}

impl IntoSwitch for Switch {
    fn into_switch(self) -> Result<Switch, Rejection> {
        Ok(self)
    }
}

impl<E> IntoSwitch for Result<Switch, E>
where
    E: Into<Rejection>,
{
    fn into_switch(self) -> Result<Switch, Rejection> {
        self.map_err(Into::into)
    }
}
