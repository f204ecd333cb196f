//! What a user configures: which handlers there are, and what goes for all of them.

pub(crate) mod bodies;
pub(crate) mod body;
pub(crate) mod future;
pub(crate) mod make;
pub(crate) mod outermost;
pub(crate) mod service;

use std::{fmt, sync::Arc, time::Duration};

use http::request;
use tower::Layer;

use self::{
    bodies::{Mapped, Wrapped},
    outermost::Outermost,
    service::Upgrade,
};
use crate::{
    connections::Connections,
    error::UpgradeError,
    handler::{BoxedHandler, UpgradeHandler, rejection::OwnBody},
    handshake::Settings,
    negotiation::{
        Candidate, Preference,
        protocol::{Pattern, Protocol},
    },
    observe::OnFailure,
};

/// A [`Layer`] that switches protocols on HTTP/1.1 connections, and forwards every request that no
/// handler takes over, untouched.
///
/// Cheap to clone: the clones, and the services made from them, share the [`Connections`]. A clone
/// that is configured further has its own registrations.
///
/// See the [crate's documentation](crate) for an example and for where it goes among other layers.
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing unless it is put around a service"]
pub struct UpgradeLayer<M = Wrapped> {
    config: Arc<Config>,
    bodies: M,
}

/// What [`UpgradeLayer`] was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) registrations: Vec<Registration>,
    pub(crate) preference: Preference,
    pub(crate) at_capacity: AtCapacity,
    pub(crate) handshakes: Settings,
}

/// What happens to a request that a handler would take over when
/// [`UpgradeLayer::max_connections`] is reached.
///
/// A request for an [optional](crate::UpgradeHandler::is_optional) protocol, such as h2c, is always
/// forwarded.
///
/// # Example
///
/// ```
/// use tower_upgrade::{AtCapacity, UpgradeLayer};
///
/// let layer = UpgradeLayer::new().max_connections(100).at_capacity(AtCapacity::Forward);
/// assert!(format!("{layer:?}").contains("Forward"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtCapacity {
    /// It is answered with 503 and `Retry-After: 1`, in seconds. The default.
    #[default]
    Refuse,
    /// The inner service answers it, as if no handler had accepted.
    Forward,
}

impl UpgradeLayer {
    /// Makes a layer without handlers, which forwards every request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a layer to put around all other layers of the server, once, so that each
    /// `UpgradeLayer` below it knows for certain whether its 101 leaves the server.
    ///
    /// With it, a handler runs if and only if its 101 leaves the server. Without it, an
    /// `UpgradeLayer` goes by what the server asks the body of the 101, which some layers hide and a
    /// few imitate; see [layer order](crate#layer-order).
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use axum::{Router, body::Body, routing::get};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_http::timeout::ResponseBodyTimeoutLayer;
    /// use tower_upgrade::UpgradeLayer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let app: Router = Router::new()
    ///     .route("/", get(|| async { "plain" }))
    ///     .layer(UpgradeLayer::new())
    ///     // This one hides the body of the 101.
    ///     .layer(ResponseBodyTimeoutLayer::new(Duration::from_secs(30)))
    ///     .layer(UpgradeLayer::outermost());
    /// let response = app.oneshot(Request::new(Body::empty())).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    /// # Ok(())
    /// # }
    /// ```
    pub fn outermost() -> Outermost {
        Outermost::default()
    }
}

impl<M> UpgradeLayer<M> {
    /// Has the service answer with the body type of the inner service, instead of one that wraps it.
    ///
    /// `make` makes the bodies of the layer's own responses, such as rejections. The inner service's
    /// pass as they are, which saves the allocation that a router makes when it boxes a body of another
    /// type.
    ///
    /// # Example
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_upgrade::{BoxError, UpgradeLayer};
    ///
    /// type Body = UnsyncBoxBody<Bytes, BoxError>;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Infallible> {
    /// let inner = service_fn(|_request: Request<Empty<Bytes>>| async {
    ///     Ok::<_, Infallible>(Response::new(Body::default()))
    /// });
    /// let service = UpgradeLayer::new().with_body(|body| body.boxed_unsync()).layer(inner);
    /// let response: Response<Body> = service.oneshot(Request::new(Empty::new())).await?;
    /// # assert_eq!(response.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_body<B>(self, make: fn(OwnBody) -> B) -> UpgradeLayer<Mapped<B>> {
        UpgradeLayer { config: self.config, bodies: Mapped(make) }
    }

    /// Has the service answer with axum's body: [`with_body`](Self::with_body) of
    /// `axum::body::Body::new`.
    ///
    /// So the layer around a whole `Router` can be served by `axum::serve`, and on a `Router` it costs
    /// no allocation for each response.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use axum::{Router, routing::get};
    /// use tower::Layer;
    /// use tower_upgrade::UpgradeLayer;
    ///
    /// # async fn serve(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let app: Router = Router::new().route("/", get(|| async { "plain" }));
    /// let service = UpgradeLayer::new().for_axum().layer(app);
    /// axum::serve(listener, service.into_make_service()).await
    /// # }
    /// ```
    ///
    /// With the address of the client: `axum::ServiceExt::into_make_service_with_connect_info`.
    #[cfg(feature = "axum")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn for_axum(self) -> UpgradeLayer<Mapped<axum_core::body::Body>> {
        self.with_body(axum_core::body::Body::new)
    }

    /// Registers a handler for a protocol.
    ///
    /// `"name"` stands for the protocol without a version, `"name/1"` for exactly that version,
    /// and `"name/*"` for every version and for none. Names match without regard to ASCII case,
    /// versions exactly (RFC 9110 §7.8). The name in the 101 is spelled as it is here.
    ///
    /// A protocol may be registered several times. Handlers are asked in the order of
    /// registration, and the first that accepts gets the request.
    ///
    /// # Panics
    ///
    /// Panics if `protocol` is not a token, perhaps with a slash and another token behind it
    /// (RFC 9110 §5.6.2), or if it is a well-known protocol in a spelling that no client sends, such
    /// as `ws` or `websocket/13`.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    ///
    /// async fn echo(_request: Request<Bytes>) -> Switch {
    ///     Switch::to(|io: Upgraded| async {
    ///         let (mut reader, mut writer) = tokio::io::split(io);
    ///         tokio::io::copy(&mut reader, &mut writer).await.map(drop)
    ///     })
    /// }
    ///
    /// let layer = UpgradeLayer::new().on("echo", echo).on("echo/2", echo);
    /// assert!(format!("{layer:?}").contains("echo/2"));
    /// ```
    #[track_caller]
    pub fn on<H>(self, protocol: &str, handler: H) -> Self
    where
        H: UpgradeHandler,
    {
        self.register(protocol, Some(BoxedHandler::new(handler)))
    }

    /// Has the inner service decide about a protocol, in its usual place: routes, extractors, state,
    /// sessions and authentication come first, and a plain page and a socket can share a path.
    ///
    /// A request that offers the protocol, and has no body, goes to the inner service with the agreed
    /// [`Protocol`]`<'static>` in its extensions. If the response is a [`Switch`](crate::Switch) (see
    /// [`Switch::into_response`](crate::Switch::into_response)), the layer sends the 101 and runs it.
    /// Every other response is sent as it is.
    ///
    /// [`max_connections`](Self::max_connections) is asked when the inner service has said yes, and so
    /// is a drain. The answer is then a 503 in both cases, with [`AtCapacity::Forward`] too. The
    /// [handshake timeout](Self::handshake_timeout) also begins with the yes.
    ///
    /// hyper's `OnUpgrade` stays in the extensions, so that axum's `WebSocketUpgrade` still works
    /// inside.
    ///
    /// # Panics
    ///
    /// As [`on`](Self::on) does.
    ///
    /// # Example
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use bytes::Bytes;
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::Full;
    /// use hyper::body::Incoming;
    /// use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tower::{Layer, service_fn};
    /// use tower_upgrade::{Protocol, Switch, UpgradeLayer, Upgraded};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// async fn app(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    ///     let offer = request.extensions().get::<Protocol<'static>>();
    ///     Ok(match (request.uri().path(), offer) {
    ///         ("/greet", Some(_)) => Switch::to(|mut io: Upgraded| async move {
    ///             io.write_all(b"hello").await
    ///         })
    ///         .into_response(),
    ///         ("/greet", None) => Response::new("a plain greeting".into()),
    ///         _ => Response::builder().status(StatusCode::NOT_FOUND).body("no".into()).unwrap(),
    ///     })
    /// }
    ///
    /// let service = UpgradeLayer::new().on_inner("greet/1").layer(service_fn(app));
    /// # let (mut client, server) = tokio::io::duplex(1024);
    /// # tokio::spawn(
    /// #     hyper::server::conn::http1::Builder::new()
    /// #         .serve_connection(TokioIo::new(server), TowerToHyperService::new(service))
    /// #         .with_upgrades(),
    /// # );
    ///
    /// // `client` is the other end of a connection to the service.
    /// let offer = "Host: a.test\r\nConnection: upgrade\r\nUpgrade: greet/1\r\n\r\n";
    /// client.write_all(format!("GET /nope HTTP/1.1\r\n{offer}").as_bytes()).await?;
    /// client.write_all(format!("GET /greet HTTP/1.1\r\n{offer}").as_bytes()).await?;
    /// let mut answers = String::new();
    /// client.read_to_string(&mut answers).await?;
    /// assert!(answers.starts_with("HTTP/1.1 404 Not Found\r\n"));
    /// assert!(answers.contains("HTTP/1.1 101 Switching Protocols\r\n"));
    /// assert!(answers.ends_with("\r\n\r\nhello"));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn on_inner(self, protocol: &str) -> Self {
        self.register(protocol, None)
    }

    #[track_caller]
    fn register(mut self, protocol: &str, handler: Option<BoxedHandler>) -> Self {
        let pattern = match Pattern::parse(protocol) {
            Ok(pattern) => pattern,
            Err(error) => panic!("cannot register a handler: {error}"),
        };
        if let Some(token) = pattern.misspells() {
            panic!(
                "cannot register a handler: no client sends `{protocol}`; clients send `{token}`"
            );
        }
        self.config_mut().registrations.push(Registration { pattern, handler });
        self
    }

    /// Sets whose order counts when a request offers several registered protocols. The default is
    /// [`Preference::Client`].
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::{Preference, UpgradeLayer};
    ///
    /// let layer = UpgradeLayer::new().preference(Preference::Server);
    /// assert!(format!("{layer:?}").contains("Server"));
    /// ```
    pub fn preference(mut self, preference: Preference) -> Self {
        self.config_mut().preference = preference;
        self
    }

    /// Calls `callback` with each upgrade that failed. A later call replaces an earlier one; the
    /// default is that failures are not reported.
    ///
    /// It is called for requests that a handler took over, not for those that were forwarded or
    /// refused with a [`Rejection`](crate::Rejection). It runs on the task that failed, so it
    /// must not block. A panic in it is caught.
    ///
    /// # Example
    ///
    /// ```
    /// use std::{error::Error, sync::mpsc};
    ///
    /// use tower_upgrade::{UpgradeError, UpgradeLayer};
    ///
    /// let (failures, log) = mpsc::channel();
    /// let layer = UpgradeLayer::new().on_failure(move |error: UpgradeError| {
    ///     // What failed is in the error, and why in its source.
    ///     let why = error.source().map(ToString::to_string).unwrap_or_default();
    ///     failures.send(format!("{}: {error}: {why}", error.protocol())).ok();
    /// });
    /// # let _ = layer;
    /// assert!(log.try_recv().is_err());
    /// ```
    pub fn on_failure<F>(mut self, callback: F) -> Self
    where
        F: Fn(UpgradeError) + Send + Sync + 'static,
    {
        self.config_mut().handshakes.observer.on_failure = OnFailure::new(callback);
        self
    }

    /// Returns the connections that this layer and its clones upgrade: those that it was
    /// [given](Self::with_connections), if that was before.
    pub fn connections(&self) -> Connections {
        self.config.handshakes.observer.connections.clone()
    }

    /// Counts this layer's connections among others. The default is that a layer and its clones
    /// have their own.
    ///
    /// Layers that share them drain together, and share the places of
    /// [`max_connections`](Self::max_connections). Two protocols have limits of their own if they
    /// are registered with two layers, one around the other.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::{Connections, UpgradeLayer};
    ///
    /// let all = Connections::new();
    /// let admin = UpgradeLayer::new().with_connections(all.clone());
    /// let public = UpgradeLayer::new().with_connections(all.clone());
    /// all.drain();
    /// assert!(admin.connections().is_draining() && public.connections().is_draining());
    /// ```
    pub fn with_connections(mut self, connections: Connections) -> Self {
        self.config_mut().handshakes.observer.connections = connections;
        self
    }

    /// Sets how many upgraded connections there may be at a time, those in their handshake
    /// included. The default is no limit.
    ///
    /// [`at_capacity`](Self::at_capacity) says what happens to one more.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.config_mut().handshakes.max_connections = connections;
        self
    }

    /// Sets what happens to a request when [`max_connections`](Self::max_connections) is reached.
    /// The default is [`AtCapacity::Refuse`].
    pub fn at_capacity(mut self, at_capacity: AtCapacity) -> Self {
        self.config_mut().at_capacity = at_capacity;
        self
    }

    /// Sets how long a handshake may take: reading the content, the handler's decision, and the
    /// wait for the connection behind the 101, together. The default is 10 seconds.
    ///
    /// A client whose content is late gets a 408 and the end of the connection, one whose handler
    /// is late a 503. What the handler then runs on the connection may take as long as it likes.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_upgrade::UpgradeLayer;
    ///
    /// let layer = UpgradeLayer::new().handshake_timeout(Duration::from_secs(3));
    /// assert!(format!("{layer:?}").contains("timeout: 3s"));
    /// ```
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.config_mut().handshakes.timeout = timeout;
        self
    }

    fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

impl<S, M> Layer<S> for UpgradeLayer<M>
where
    M: Clone,
{
    type Service = Upgrade<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Upgrade::new(inner, Arc::clone(&self.config), self.bodies.clone())
    }
}

/// A protocol that is registered, and who decides about it.
#[derive(Clone)]
pub(crate) struct Registration {
    pattern: Pattern,
    /// `None` stands for the inner service.
    pub(crate) handler: Option<BoxedHandler>,
}

impl Candidate for Registration {
    fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    fn body_limit(&self) -> usize {
        self.handler.as_ref().map_or(0, BoxedHandler::body_limit)
    }

    fn reads_chunked_body(&self) -> bool {
        self.handler.as_ref().is_some_and(BoxedHandler::reads_chunked_body)
    }

    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        self.handler.as_ref().is_none_or(|handler| handler.accepts(head, protocol))
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pattern, handler: _ } = self;
        f.debug_tuple("Registration").field(&pattern.to_string()).finish()
    }
}
