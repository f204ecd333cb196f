//! What a user configures: which handlers there are, and what goes for all of them.

pub(crate) mod body;
pub(crate) mod future;
pub(crate) mod outermost;
pub(crate) mod service;

use std::{fmt, sync::Arc, time::Duration};

use http::request;
use tower::Layer;

use self::{outermost::Outermost, service::Upgrade};
use crate::{
    connections::{Connections, session::Observer},
    error::UpgradeError,
    handler::{BoxedHandler, UpgradeHandler},
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
pub struct UpgradeLayer {
    config: Arc<Config>,
}

/// What [`UpgradeLayer`] was told.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) registrations: Vec<Registration>,
    pub(crate) preference: Preference,
    pub(crate) max_connections: usize,
    pub(crate) at_capacity: AtCapacity,
    pub(crate) handshake_timeout: Duration,
    pub(crate) observer: Observer,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            registrations: Vec::new(),
            preference: Preference::default(),
            max_connections: usize::MAX,
            at_capacity: AtCapacity::default(),
            handshake_timeout: HANDSHAKE_TIMEOUT,
            observer: Observer::default(),
        }
    }
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
    pub fn on<H>(mut self, protocol: &str, handler: H) -> Self
    where
        H: UpgradeHandler,
    {
        let pattern = match Pattern::parse(protocol) {
            Ok(pattern) => pattern,
            Err(error) => panic!("cannot register a handler: {error}"),
        };
        if let Some(token) = pattern.misspells() {
            panic!(
                "cannot register a handler: no client sends `{protocol}`; clients send `{token}`"
            );
        }
        let registration = Registration { pattern, handler: BoxedHandler::new(handler) };
        self.config_mut().registrations.push(registration);
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
        self.config_mut().observer.on_failure = OnFailure::new(callback);
        self
    }

    /// Returns the connections that this layer and its clones upgrade: those that it was
    /// [given](Self::with_connections), if that was before.
    pub fn connections(&self) -> Connections {
        self.config.observer.connections.clone()
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
        self.config_mut().observer.connections = connections;
        self
    }

    /// Sets how many upgraded connections there may be at a time, those in their handshake
    /// included. The default is no limit.
    ///
    /// [`at_capacity`](Self::at_capacity) says what happens to one more.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.config_mut().max_connections = connections;
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
    /// assert!(format!("{layer:?}").contains("handshake_timeout: 3s"));
    /// ```
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.config_mut().handshake_timeout = timeout;
        self
    }

    fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

impl<S> Layer<S> for UpgradeLayer {
    type Service = Upgrade<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Upgrade::new(inner, Arc::clone(&self.config))
    }
}

/// A handler, and what it is registered for.
#[derive(Clone)]
pub(crate) struct Registration {
    pattern: Pattern,
    pub(crate) handler: BoxedHandler,
}

impl Candidate for Registration {
    fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    fn body_limit(&self) -> usize {
        self.handler.body_limit()
    }

    fn reads_chunked_body(&self) -> bool {
        self.handler.reads_chunked_body()
    }

    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        self.handler.accepts(head, protocol)
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pattern, handler: _ } = self;
        f.debug_tuple("Registration").field(&pattern.to_string()).finish()
    }
}

/// Long enough for a slow network and a slow database, short enough for half-open handshakes.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
