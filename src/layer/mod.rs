//! The layer that users configure, and its handlers.

pub(crate) mod bodies;
pub(crate) mod body;
pub(crate) mod config;
mod forwarding;
pub(crate) mod future;
mod limits;
pub(crate) mod make;
pub(crate) mod none;
pub(crate) mod outermost;
mod policies;
pub(crate) mod service;
mod settings;

use std::sync::Arc;

use tower::Layer;

use self::{
    bodies::{Mapped, Wrapped},
    config::{Config, Registration},
    outermost::Outermost,
    service::Upgrade,
};
use crate::{
    handler::{UpgradeHandler, rejection::OwnBody},
    handshake::Settings,
    handshake::handler::BoxedHandler,
    negotiation::protocol::Pattern,
};

/// A [`Layer`] that answers requests for another protocol with a switch, and forwards all other requests
/// unchanged.
///
/// Cheap to clone. The clones, and the services made from them, share the
/// [`Connections`](crate::Connections). Registrations on a clone do not change the original.
///
/// See the [crate's documentation](crate) for an example and for where it goes among other layers.
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing unless it is put around a service"]
pub struct UpgradeLayer<M = Wrapped> {
    config: Arc<Config>,
    bodies: M,
}

impl UpgradeLayer {
    /// Makes a layer without handlers, which forwards every request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the layer to add last, around all other layers of the server. Each `UpgradeLayer` below it then
    /// knows whether its 101 leaves the server.
    ///
    /// With it, the function given to [`Switch::to`](crate::Switch::to) or `Offer::switch` runs if and only
    /// if its 101 leaves the server. Without it, a layer that wraps the response body can stop the upgrade,
    /// and a layer that replaces the 101 can escape notice; see [layer order](crate#layer-order).
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
    /// `axum::serve` needs it for a layer around a whole `Router`. On a `Router` it saves an allocation for
    /// each response.
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
    /// The handler is not an axum handler: it gets the whole request. For axum handlers and extractors use
    /// [`on_inner`](Self::on_inner).
    ///
    /// A protocol may be registered several times. Handlers are asked in the order of
    /// registration, and the first that accepts gets the request.
    ///
    /// # Panics
    ///
    /// Panics if `protocol` is not a token, or two tokens with a slash between them (RFC 9110 §5.6.2). Panics
    /// if it is a well-known protocol in a spelling that no client sends, such as `ws` or `websocket/13`.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    /// # use std::convert::Infallible;
    /// # use bytes::Bytes;
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    /// # use tower::{Layer, ServiceExt, service_fn};
    ///
    /// async fn echo(_request: Request<Bytes>) -> Switch {
    ///     Switch::to(|io: Upgraded| async {
    ///         let (mut reader, mut writer) = tokio::io::split(io);
    ///         tokio::io::copy(&mut reader, &mut writer).await.map(drop)
    ///     })
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Infallible> {
    /// # let inner = service_fn(|_: Request<Full<Bytes>>| async {
    /// #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("plain")))
    /// # });
    /// # // A request as hyper hands it over.
    /// # let offer = |upgrade: &'static str| {
    /// #     let request = Request::get("/").header("connection", "upgrade").header("upgrade", upgrade);
    /// #     let mut request = request.body(Full::<Bytes>::default()).unwrap();
    /// #     request.extensions_mut().insert(hyper::upgrade::on(Request::new(())));
    /// #     request
    /// # };
    /// let service = UpgradeLayer::new().on("echo", echo).on("echo/2", echo).layer(inner);
    /// for (offered, agreed) in [("echo", "echo"), ("Echo/1, Echo/2", "echo/2")] {
    ///     let response = service.clone().oneshot(offer(offered)).await?;
    ///     assert_eq!(response.status(), 101);
    ///     assert_eq!(response.headers()["upgrade"], agreed);
    /// }
    /// // No handler is registered for these.
    /// let response = service.oneshot(offer("echo/1, shout")).await?;
    /// assert_eq!(response.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn on<H>(self, protocol: &str, handler: H) -> Self
    where
        H: UpgradeHandler,
    {
        self.register(protocol, Some(BoxedHandler::new(handler)))
    }

    /// Lets the inner service decide about a protocol. Routes, extractors, state, sessions and authentication
    /// apply, and a page and a socket can share a path.
    ///
    /// A request that offers the protocol, and has no body, goes to the inner service with the agreed
    /// [`Protocol`](crate::Protocol)`<'static>` in its extensions. If the response is a
    /// [`Switch`](crate::Switch) (see [`Switch::into_response`](crate::Switch::into_response)), the layer
    /// sends the 101 and runs it. Every other response is sent as it is. Answer an [extended
    /// CONNECT](Self::extended_connect) with a switch or with an error: its client takes any 2xx for a
    /// switch.
    ///
    /// The connection takes its place when the inner service has returned the switch. If
    /// [`max_connections`](Self::max_connections) is reached, or a drain has begun, the client gets a 503,
    /// with [`AtCapacity::Forward`](crate::AtCapacity::Forward) too. The [handshake
    /// timeout](Self::handshake_timeout) begins at the same time.
    ///
    /// A switch to `websocket` comes from a `websocket::Offer`, which checks the handshake and `Origin`. Any
    /// other is a 500, unless its headers have a `Sec-WebSocket-Accept`.
    ///
    /// hyper's `OnUpgrade` stays in the extensions, so axum's `WebSocketUpgrade` still works below the
    /// layer.
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
        self.config_mut().register(Registration { pattern, handler });
        self
    }

    pub(super) fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }

    pub(super) fn handshakes_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.config_mut().handshakes)
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
