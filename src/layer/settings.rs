//! Settings for all handlers of a layer: preference, limits, connections, failures.

use std::time::Duration;

use super::{UpgradeLayer, config::AtCapacity};
use crate::{
    connections::Connections, error::UpgradeError, negotiation::Preference, observe::OnFailure,
};

impl<M> UpgradeLayer<M> {
    /// Sets whose order decides when a request offers several registered protocols. The default is
    /// [`Preference::Client`].
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::{Preference, Switch, UpgradeLayer, Upgraded};
    /// # use std::convert::Infallible;
    /// # use bytes::Bytes;
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    /// # use tower::{Layer, ServiceExt, service_fn};
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
    ///
    /// let handler = |_: Request<Bytes>| async { Switch::to(|_: Upgraded| async {}) };
    /// let layer = UpgradeLayer::new().on("new", handler).on("old", handler);
    /// for (preference, agreed) in [(Preference::Client, "old"), (Preference::Server, "new")] {
    ///     let service = layer.clone().preference(preference).layer(inner);
    ///     let response = service.oneshot(offer("old, new")).await?;
    ///     assert_eq!(&response.headers()["upgrade"], agreed);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn preference(mut self, preference: Preference) -> Self {
        self.config_mut().preference = preference;
        self
    }

    /// Calls `callback` with each upgrade that failed. A later call replaces an earlier one; without a
    /// callback, failures are only logged and counted, with the features `tracing` and `metrics`.
    ///
    /// Forwarded requests and [`Rejection`](crate::Rejection)s are not failures. The callback runs on the
    /// task that failed, so it must not block. A panic in it is caught.
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
    ///     // The error says which part failed, and its source says why.
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
        self.handshakes_mut().observer.on_failure = OnFailure::new(callback);
        self
    }

    /// Returns the connections that this layer and its clones upgrade. Call
    /// [`with_connections`](Self::with_connections) before, if at all.
    pub fn connections(&self) -> Connections {
        self.config.handshakes.observer.connections.clone()
    }

    /// Shares connections with other layers. By default, a layer and its clones have their own.
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
        self.handshakes_mut().observer.connections = connections;
        self
    }

    /// Limits how many upgraded connections may exist at once, those in their handshake included. Unlimited
    /// by default.
    ///
    /// One more gets a 503, or is forwarded: see [`at_capacity`](Self::at_capacity).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.handshakes_mut().max_connections = connections;
        self
    }

    /// Sets what happens to a request when [`max_connections`](Self::max_connections) or
    /// [`max_connections_per`](Self::max_connections_per) is reached. The default is [`AtCapacity::Reject`].
    pub fn at_capacity(mut self, at_capacity: AtCapacity) -> Self {
        self.config_mut().at_capacity = at_capacity;
        self
    }

    /// Limits how long a handshake may take: reading the body, the handler's decision, and the wait
    /// for the connection after the 101, together. The default is 10 seconds.
    ///
    /// If the body is late, the client gets a 408 and the connection is closed; if the handler is
    /// late, the client gets a 503. The limit does not apply to what runs on the connection.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    /// # use std::convert::Infallible;
    /// # use bytes::Bytes;
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    /// # use tower::{Layer, ServiceExt, service_fn};
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
    ///
    /// let service = UpgradeLayer::new()
    ///     .on("late", |_: Request<Bytes>| async {
    ///         tokio::time::sleep(Duration::from_secs(60)).await;
    ///         Switch::to(|_: Upgraded| async {})
    ///     })
    ///     .handshake_timeout(Duration::from_millis(10))
    ///     .layer(inner);
    /// let response = service.oneshot(offer("late")).await?;
    /// assert_eq!(response.status(), 503);
    /// # Ok(())
    /// # }
    /// ```
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshakes_mut().timeout = timeout;
        self
    }
}
