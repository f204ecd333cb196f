//! Settings for connections: how many there may be for a key, how long they may live, and which values are
//! attached to each.

use std::{hash::Hash, time::Duration};

use http::request;

use super::UpgradeLayer;

impl<M> UpgradeLayer<M> {
    /// Limits how many upgraded connections may exist at once for each key, such as a peer's address or a
    /// user. Unlimited by default.
    ///
    /// `key` gets the head of a request that a handler takes over, or that the inner service [decides
    /// about](Self::on_inner). A request for which it returns `None` is not limited. One more than
    /// `connections` gets a 429 and `Retry-After: 1`, in seconds; [`at_capacity`](Self::at_capacity) forwards
    /// it instead. Handlers of [optional](crate::UpgradeHandler::is_optional) protocols always forward it. A
    /// switch of the inner service ([`on_inner`](Self::on_inner)) is never forwarded.
    ///
    /// Connections in their handshake count. For `on_inner`, a connection counts when the inner service has
    /// returned the switch. Several limits hold together: call this once for each. Clones of the layer share
    /// the counts; other layers do not, even [with the same connections](Self::with_connections).
    ///
    /// A key is kept as long as its connections. Return a copy of a header's text, such as a `String`: a clone of
    /// a [`HeaderValue`](http::HeaderValue) keeps the buffer that the whole request was read into.
    ///
    /// A panic in `key` is not caught.
    ///
    /// # Example
    ///
    /// Four connections for each address. `axum::serve` puts the address into the requests' extensions;
    /// behind a proxy, use the header that the proxy sets.
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use axum::extract::ConnectInfo;
    /// use http::request;
    /// use tower_upgrade::UpgradeLayer;
    ///
    /// fn address(head: &request::Parts) -> Option<std::net::IpAddr> {
    ///     let ConnectInfo(peer) = head.extensions.get::<ConnectInfo<SocketAddr>>()?;
    ///     Some(peer.ip())
    /// }
    ///
    /// let layer = UpgradeLayer::new().on_inner("websocket").max_connections_per(address, 4);
    /// # let _ = layer;
    /// # let (mut head, ()) = http::Request::new(()).into_parts();
    /// # assert_eq!(address(&head), None);
    /// # head.extensions.insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 80))));
    /// # assert!(address(&head).is_some());
    /// ```
    pub fn max_connections_per<F, K>(mut self, key: F, connections: usize) -> Self
    where
        F: Fn(&request::Parts) -> Option<K> + Send + Sync + 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.handshakes_mut().admissions.limit(key, connections);
        self
    }

    /// Limits how long an upgraded connection may live. Unlimited by default.
    ///
    /// At the limit, a connection is drained, as by [`Connection::drain`](crate::Connection::drain). If it
    /// has not ended after [another 30 seconds](Self::lifetime_grace), it is closed and reported as
    /// [`UpgradeErrorKind::Expired`](crate::UpgradeErrorKind::Expired).
    ///
    /// The time begins when the layer takes over the request, or when the inner service has returned the
    /// switch. It is shortened by a random part of up to a tenth, so that connections that began together do
    /// not end together. It goes on when the handler has moved the connection to other tasks.
    ///
    /// [`UpgradeHandler::with_max_lifetime`](crate::UpgradeHandler::with_max_lifetime) and
    /// [`Switch::max_lifetime`](crate::Switch::max_lifetime) set another limit for one handler, or for one
    /// connection. It costs a timer for each connection, and nothing for each message.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    /// # use hyper::body::Incoming;
    /// # use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    /// # use tower::Layer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let layer = UpgradeLayer::new()
    ///     .on("wait", |_request: Request<Bytes>| async {
    ///         Switch::to(|mut io: Upgraded| async move {
    ///             io.draining().await;
    ///             io.write_all(b"goodbye").await
    ///         })
    ///     })
    ///     .max_lifetime(Duration::from_millis(10));
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
    /// let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: wait\r\n\r\n";
    /// client.write_all(request.as_bytes()).await?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer).await?;
    /// assert!(answer.ends_with("\r\n\r\ngoodbye"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.handshakes_mut().limits.lifetime = Some(lifetime);
        self
    }

    /// Sets how long a connection may go on after its [`max_lifetime`](Self::max_lifetime), before it is
    /// closed. The default is 30 seconds.
    pub fn lifetime_grace(mut self, grace: Duration) -> Self {
        self.handshakes_mut().limits.grace = grace;
        self
    }

    /// Closes upgraded connections on which no byte was read or written for this long. Off by default.
    ///
    /// Such a connection is closed as by [`Connection::abort`](crate::Connection::abort), and reported as
    /// [`UpgradeErrorKind::Idle`](crate::UpgradeErrorKind::Idle). It is for clients that are gone, so the
    /// handler is not told first. Set it well above the interval at which the protocol sends something by
    /// itself, such as the pings of a WebSocket: bytes in either direction count.
    ///
    /// `h2c` has [a limit of its own](crate#features) for connections without a stream, which ends them with
    /// GOAWAY. A connection after [`Upgraded::downcast`](crate::Upgraded::downcast) is never idle, because
    /// its bytes are not counted.
    ///
    /// It costs a timer for each connection, and the time of day for each read and write. If it is off, it
    /// costs neither.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    /// # use hyper::body::Incoming;
    /// # use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    /// # use tower::Layer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let layer = UpgradeLayer::new()
    ///     .on("quiet", |_request: Request<Bytes>| async {
    ///         Switch::to(|mut io: Upgraded| async move { io.read_u8().await.map(drop) })
    ///     })
    ///     .idle_timeout(Duration::from_millis(10));
    /// let connections = layer.connections();
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
    /// let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: quiet\r\n\r\n";
    /// client.write_all(request.as_bytes()).await?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer).await?;
    /// assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
    /// assert_eq!(connections.stats().idle, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.handshakes_mut().limits.idle = Some(timeout);
        self
    }

    /// Attaches the value of this type in the request's extensions to the connection, where
    /// [`Connection::get`](crate::Connection::get) finds it. Nothing is attached by default.
    ///
    /// The layer copies the value when it gets the request. Call this once for each type.
    ///
    /// # Example
    ///
    /// The peer's address, as `axum::serve` puts it there:
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use axum::{Router, extract::ConnectInfo, routing::any};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    /// # use http::Request;
    /// # use bytes::Bytes;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let layer = UpgradeLayer::new()
    ///     .on("wait", |_request: Request<Bytes>| async {
    ///         Switch::to(|mut io: Upgraded| async move { io.read_u8().await.map(drop) })
    ///     })
    ///     .attach::<ConnectInfo<SocketAddr>>();
    /// let connections = layer.connections();
    /// let app = Router::new().route("/", any(|| async { "plain" })).layer(layer);
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let address = listener.local_addr()?;
    /// let app = app.into_make_service_with_connect_info::<SocketAddr>();
    /// tokio::spawn(async { axum::serve(listener, app).await });
    ///
    /// let mut client = tokio::net::TcpStream::connect(address).await?;
    /// let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: wait\r\n\r\n";
    /// client.write_all(request.as_bytes()).await?;
    /// client.read_u8().await?;
    /// let peers = connections.list().into_iter().map(|it| it.get::<ConnectInfo<SocketAddr>>());
    /// assert_eq!(peers.map(|peer| peer.unwrap().0).collect::<Vec<_>>(), [client.local_addr()?]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn attach<T>(mut self) -> Self
    where
        T: Clone + Send + Sync + 'static,
    {
        self.handshakes_mut().admissions.attach::<T>();
        self
    }
}
