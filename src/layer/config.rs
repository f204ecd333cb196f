//! The configuration of a layer: its registrations, and the settings for all of them.

use std::{fmt, sync::Arc};

use http::request;

use super::forwarding::Policies;
use crate::{
    handshake::{Settings, handler::BoxedHandler},
    negotiation::{
        Candidate, Preference,
        length::Length,
        protocol::{Pattern, Protocol},
        registered::Registered,
    },
};

/// The configuration of an [`UpgradeLayer`](crate::UpgradeLayer).
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) registrations: Vec<Registration>,
    /// The protocols of the registrations.
    pub(crate) registered: Registered,
    pub(crate) preference: Preference,
    pub(crate) at_capacity: AtCapacity,
    pub(crate) policies: Policies,
    /// In an `Arc`, for the requests that the inner service is asked about.
    pub(crate) handshakes: Arc<Settings>,
}

impl Config {
    pub(super) fn register(&mut self, registration: Registration) {
        self.registered.add(&registration.pattern);
        self.registrations.push(registration);
    }
}

/// How the layer answers an offer when
/// [`UpgradeLayer::max_connections`](crate::UpgradeLayer::max_connections) or
/// [`UpgradeLayer::max_connections_per`](crate::UpgradeLayer::max_connections_per) is reached.
///
/// A request for an [optional](crate::UpgradeHandler::is_optional) protocol, such as h2c, is always
/// forwarded.
///
/// # Example
///
/// ```
/// use tower_upgrade::{AtCapacity, Switch, UpgradeLayer, Upgraded};
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
/// let full = UpgradeLayer::new()
///     .on("echo", |_: Request<Bytes>| async { Switch::to(|_: Upgraded| async {}) })
///     .max_connections(0);
///
/// let response = full.clone().layer(inner).oneshot(offer("echo")).await?;
/// assert_eq!(response.status(), 503);
/// assert_eq!(response.headers()["retry-after"], "1");
///
/// let forwarding = full.at_capacity(AtCapacity::Forward);
/// let response = forwarding.layer(inner).oneshot(offer("echo")).await?;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtCapacity {
    /// Rejects the request with 503 and `Retry-After: 1`, in seconds, or with 429 if
    /// [`UpgradeLayer::max_connections_per`](crate::UpgradeLayer::max_connections_per) is reached. The
    /// default.
    #[default]
    Reject,
    /// Forwards the request to the inner service, as if no handler had accepted it.
    Forward,
}

/// A protocol that is registered, and who decides about it.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(super) pattern: Pattern,
    /// `None` stands for the inner service.
    pub(crate) handler: Option<BoxedHandler>,
}

impl Candidate for Registration {
    fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    fn takes(&self, body: Length) -> bool {
        match &self.handler {
            Some(handler) => body.fits(handler.body_limit(), handler.reads_chunked_body()),
            // The layer does not read the body of such a request, so the head's word is not enough.
            None => body == Length::Exactly(0),
        }
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
