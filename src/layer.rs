//! What a user configures: which handlers there are, and what goes for all of them.

use std::{fmt, sync::Arc};

use http::request;
use tower::Layer;

use crate::{
    Preference, Protocol, Upgrade, UpgradeError, UpgradeHandler, handler::BoxedHandler,
    negotiation::Candidate, protocol::Pattern,
};

/// A [`Layer`] that switches protocols on HTTP/1.1 connections, and forwards every request that
/// it does not switch for untouched.
///
/// Cheap to clone: the clones and the services made from them share the registrations.
///
/// See the [crate's documentation](crate) for an example and for where it goes among other layers.
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing unless it is put around a service"]
pub struct UpgradeLayer {
    config: Arc<Config>,
}

/// What [`UpgradeLayer`] was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) registrations: Vec<Registration>,
    pub(crate) preference: Preference,
    pub(crate) on_failure: OnFailure,
}

impl UpgradeLayer {
    /// Makes a layer without handlers, which forwards every request.
    pub fn new() -> Self {
        Self::default()
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
    /// (RFC 9110 §5.6.2).
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
        let registration = Registration { pattern, handler: BoxedHandler::new(handler) };
        Arc::make_mut(&mut self.config).registrations.push(registration);
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
        Arc::make_mut(&mut self.config).preference = preference;
        self
    }

    /// Calls `callback` with each upgrade that failed. A later call replaces an earlier one; the
    /// default is that failures are not reported.
    ///
    /// It is called for requests that a handler took over, not for those that were forwarded or
    /// refused with a [`Rejection`](crate::Rejection). It runs on the task that failed, so it
    /// must not block.
    ///
    /// # Example
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use tower_upgrade::{UpgradeError, UpgradeLayer};
    ///
    /// let (failures, log) = mpsc::channel();
    /// let layer = UpgradeLayer::new().on_failure(move |error: UpgradeError| {
    ///     failures.send(format!("{}: {error}", error.protocol())).ok();
    /// });
    /// # let _ = layer;
    /// assert!(log.try_recv().is_err());
    /// ```
    pub fn on_failure<F>(mut self, callback: F) -> Self
    where
        F: Fn(UpgradeError) + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).on_failure = OnFailure(Some(Arc::new(callback)));
        self
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

/// Where failures go.
#[derive(Clone, Default)]
pub(crate) struct OnFailure(Option<Arc<dyn Fn(UpgradeError) + Send + Sync>>);

impl OnFailure {
    pub(crate) fn call(&self, error: UpgradeError) {
        if let Some(callback) = &self.0 {
            callback(error);
        }
    }
}

impl fmt::Debug for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(callback) = self;
        f.write_str(if callback.is_some() { "OnFailure(set)" } else { "OnFailure(unset)" })
    }
}
