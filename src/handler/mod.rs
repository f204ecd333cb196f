//! What a protocol implements: [`UpgradeHandler`], closures as handlers, and what narrows them.

pub(crate) mod answer;
pub(crate) mod rejection;
pub(crate) mod switch;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, request};

use self::{rejection::Rejection, switch::Switch};
use crate::negotiation::protocol::Protocol;

/// A protocol that a connection can be switched to.
///
/// A handler is registered with [`UpgradeLayer::on`](crate::UpgradeLayer::on) and asked in two
/// steps. [`accepts`](Self::accepts) and [`body_limit`](Self::body_limit) decide at once whether
/// the request is this handler's; if it is not, the next candidate is asked and finally the inner
/// service gets the request untouched. Then [`upgrade`](Self::upgrade) decides, in its own time,
/// whether to switch or to refuse.
///
/// `async` closures and functions from `Request<Bytes>` to [`Switch`], or to a `Result` of it,
/// are handlers.
///
/// # Example: a handler that is a closure
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, StatusCode};
/// use tower_upgrade::{Switch, UpgradeHandler, UpgradeLayer, Upgraded};
///
/// let handler = |request: Request<Bytes>| async move {
///     if !request.headers().contains_key("authorization") {
///         return Err(StatusCode::UNAUTHORIZED);
///     }
///     Ok(Switch::to(|_io: Upgraded| async {}))
/// };
/// let layer = UpgradeLayer::new().on("chat/1", handler.when(|head| head.uri.path() == "/chat"));
/// assert!(format!("{layer:?}").contains("chat/1"));
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
    /// Whether this handler takes the request over. The default is `true`.
    ///
    /// The request has a well-formed offer of `protocol`, which has the spelling of the
    /// registration and, where that left it open, the offered version. Everything else in `head`
    /// is as the client sent it.
    ///
    /// This runs inside [`Service::call`](tower::Service::call): it must not block.
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        let _ = (head, protocol);
        true
    }

    /// How many bytes the body of a request may have to be this handler's. The default is 0.
    ///
    /// A request with a longer body, or with a chunked one unless the handler
    /// [reads it](Self::reads_chunked_body), is not accepted, and [`accepts`](Self::accepts) is not
    /// asked. An accepted body is read to its end before [`upgrade`](Self::upgrade) is called,
    /// because bytes left unread would be taken for the new protocol's (RFC 9110 §7.8). A body that
    /// does not have the length that its head announces is answered with 400, and the connection is
    /// closed.
    fn body_limit(&self) -> usize {
        0
    }

    /// Whether HTTP/1.1 will do as well, so that the client still gets its answer without the
    /// switch. The default is `false`.
    ///
    /// The layer asks when it has no place for the connection: during a drain, or with
    /// [`UpgradeLayer::max_connections`](crate::UpgradeLayer::max_connections) reached. If this is
    /// `true`, the inner service answers the request and it counts as
    /// [`Declined::capacity`](crate::Declined::capacity). Otherwise the client gets a 503, unless
    /// [`AtCapacity::Forward`](crate::AtCapacity::Forward) applies.
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

    /// Whether a chunked body, whose length is only known at its end, is read up to
    /// [`body_limit`](Self::body_limit). The default is `false`: the request is forwarded.
    ///
    /// A request whose body turns out to be longer is answered with 413, and the connection is
    /// closed. It cannot be forwarded any more. [`with_chunked_body_limit`] sets both.
    ///
    /// [`with_chunked_body_limit`]: Self::with_chunked_body_limit
    fn reads_chunked_body(&self) -> bool {
        false
    }

    /// Decides whether to switch.
    ///
    /// The request is the client's, with its whole content, and with the agreed
    /// [`Protocol`]`<'static>` in its extensions beside those that were there before. hyper's
    /// `OnUpgrade` is not among them: the layer waits on it.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] is sent to the client, and the connection stays HTTP/1.1.
    ///
    /// # Panics
    ///
    /// A panic in this function or its future is caught. The client gets a 500, the connection
    /// stays HTTP/1.1, and [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure) hears of
    /// it.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped if a layer outside gives up, or if the client goes away and the HTTP
    /// server notices. hyper does not notice while octets that the client sent early are unread.
    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send;

    /// Narrows [`accepts`](Self::accepts): the predicate is asked first.
    ///
    /// Several handlers can so share a protocol, each on a path of its own.
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

    /// Replaces [`body_limit`](Self::body_limit), in bytes.
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

    /// Replaces [`body_limit`](Self::body_limit), in bytes, and has chunked bodies
    /// [read](Self::reads_chunked_body) up to it.
    ///
    /// Docker's clients send such a body with `exec` and `attach`.
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

/// What a handler that is a closure may return: a [`Switch`], or a `Result` of it and of anything
/// that a [`Rejection`] can be made from.
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
    /// Returns the rejection if that is what the decision is.
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

/// A handler that takes over only the requests that a predicate is true of.
///
/// Made by [`UpgradeHandler::when`]; see there for an example.
#[derive(Clone, Copy)]
pub struct When<H, P> {
    handler: H,
    predicate: P,
}

impl<H, P> UpgradeHandler for When<H, P>
where
    H: UpgradeHandler,
    P: Fn(&request::Parts) -> bool + Send + Sync + 'static,
{
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        (self.predicate)(head) && self.handler.accepts(head, protocol)
    }

    fn body_limit(&self) -> usize {
        self.handler.body_limit()
    }

    fn is_optional(&self) -> bool {
        self.handler.is_optional()
    }

    fn reads_chunked_body(&self) -> bool {
        self.handler.reads_chunked_body()
    }

    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send {
        self.handler.upgrade(request)
    }
}

impl<H, P> fmt::Debug for When<H, P>
where
    H: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handler, predicate: _ } = self;
        f.debug_struct("When").field("handler", handler).finish_non_exhaustive()
    }
}

/// A handler with another limit for the body of its requests.
///
/// Made by [`UpgradeHandler::with_body_limit`] and [`UpgradeHandler::with_chunked_body_limit`]; see
/// there for examples.
#[derive(Clone, Copy, Debug)]
pub struct WithBodyLimit<H> {
    handler: H,
    bytes: usize,
    chunked: bool,
}

impl<H> UpgradeHandler for WithBodyLimit<H>
where
    H: UpgradeHandler,
{
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        self.handler.accepts(head, protocol)
    }

    fn body_limit(&self) -> usize {
        self.bytes
    }

    fn reads_chunked_body(&self) -> bool {
        self.chunked
    }

    fn is_optional(&self) -> bool {
        self.handler.is_optional()
    }

    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send {
        self.handler.upgrade(request)
    }
}

/// A handler of any type. One allocation for each request that is handed over.
#[derive(Clone)]
pub(crate) struct BoxedHandler(Arc<dyn ErasedHandler>);

type Decision<'h> = Pin<Box<dyn Future<Output = Result<Switch, Rejection>> + Send + 'h>>;

impl BoxedHandler {
    pub(crate) fn new(handler: impl UpgradeHandler) -> Self {
        Self(Arc::new(handler))
    }

    pub(crate) fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        self.0.accepts(head, protocol)
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.0.body_limit()
    }

    pub(crate) fn is_optional(&self) -> bool {
        self.0.is_optional()
    }

    pub(crate) fn reads_chunked_body(&self) -> bool {
        self.0.reads_chunked_body()
    }

    pub(crate) fn upgrade(&self, request: Request<Bytes>) -> Decision<'_> {
        self.0.upgrade(request)
    }
}

/// The part of [`UpgradeHandler`] that a trait object can have.
trait ErasedHandler: Send + Sync {
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool;
    fn body_limit(&self) -> usize;
    fn is_optional(&self) -> bool;
    fn reads_chunked_body(&self) -> bool;
    fn upgrade(&self, request: Request<Bytes>) -> Decision<'_>;
}

impl<H> ErasedHandler for H
where
    H: UpgradeHandler,
{
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        UpgradeHandler::accepts(self, head, protocol)
    }

    fn body_limit(&self) -> usize {
        UpgradeHandler::body_limit(self)
    }

    fn is_optional(&self) -> bool {
        UpgradeHandler::is_optional(self)
    }

    fn reads_chunked_body(&self) -> bool {
        UpgradeHandler::reads_chunked_body(self)
    }

    fn upgrade(&self, request: Request<Bytes>) -> Decision<'_> {
        Box::pin(UpgradeHandler::upgrade(self, request))
    }
}
