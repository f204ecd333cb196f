//! The service: whether a request is the inner service's or a handler's.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, Version, header::UPGRADE, request};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use tower::Service;

use super::{
    bodies::{Bodies, Wrapped},
    config::{AtCapacity, Config},
    future::{Route, UpgradeFuture},
    make::IntoMakeService,
};
use crate::{
    connections::{
        NoPlace,
        fate::{Maker, Making},
    },
    error::BoxError,
    handshake::{self, Deciding, Handshake, inner::Asked, switching::Switching, token::Token},
    negotiation::{self, Choice, Decline, Mechanism, Offered, length::Length},
};

/// A [`Service`] that hands requests that offer a registered protocol to its handler, and all
/// others to the inner service.
///
/// Made by [`UpgradeLayer`](crate::UpgradeLayer). Its readiness and its errors are those of the inner
/// service. A forwarded request is unchanged, its extensions included, and costs no allocation.
/// [`required`](crate::UpgradeLayer::required), [`advertise`](crate::UpgradeLayer::advertise) and
/// [`strip`](crate::UpgradeLayer::strip) change that.
///
/// # Panics
///
/// The future of a request that a handler takes over must be polled on a tokio runtime with its
/// timer enabled. A panic in [`accepts`](crate::UpgradeHandler::accepts),
/// [`body_limit`](crate::UpgradeHandler::body_limit) or the predicate of
/// [`when`](crate::UpgradeHandler::when) is not caught.
///
/// # Example
///
/// ```
/// use std::convert::Infallible;
///
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_upgrade::UpgradeLayer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let inner = service_fn(|_request: Request<Full<Bytes>>| async {
///     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("plain")))
/// });
/// let service = UpgradeLayer::new().layer(inner);
/// let response = service.oneshot(Request::new(Full::default())).await?;
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "plain");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Upgrade<S, M = Wrapped> {
    inner: S,
    config: Arc<Config>,
    bodies: M,
    /// Whether a request without an offer is forwarded at once. Here it costs nothing to ask.
    forwards_ordinary: bool,
}

impl<S, M> Upgrade<S, M> {
    pub(crate) fn new(inner: S, config: Arc<Config>, bodies: M) -> Self {
        let forwards_ordinary = config.policies.are_off();
        Self { inner, config, bodies, forwards_ordinary }
    }

    /// Returns the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Makes a service that makes a clone of this one for each connection, for `axum::serve`.
    ///
    /// See `UpgradeLayer::for_axum` for an example.
    pub fn into_make_service(self) -> IntoMakeService<Self> {
        IntoMakeService::new(self)
    }

    /// Whether a request is more than an ordinary one.
    #[inline]
    fn has_offer<B>(&self, request: &Request<B>) -> bool {
        // hyper adds the extension to HTTP/1.1 requests with an `Upgrade` header and to CONNECT. It stays
        // where it is until a handler takes over the request: an inner service may want it.
        request.extensions().get::<OnUpgrade>().is_some()
            || (request.version() != Version::HTTP_11 && self.counts_as_offer(request))
    }

    /// Whether a request of another version than HTTP/1.1 is looked at.
    fn counts_as_offer<B>(&self, request: &Request<B>) -> bool {
        self.config.policies.ordinary(request.version());
        // RFC 9110 §7.8 has `Upgrade` ignored in HTTP/1.0. A proxy in front that speaks it is the
        // usual reason why nothing is ever switched, so that operators have to see it.
        request.version() == Version::HTTP_10 && request.headers().contains_key(UPGRADE)
    }

    /// Decides what becomes of a request that is more than an ordinary one.
    #[cold]
    fn route<B>(&mut self, request: Request<B>, has_offer: bool) -> Route<S::Future>
    where
        S: Service<Request<B>>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let (mut head, body) = request.into_parts();
        let config = &*self.config;
        if !has_offer {
            return self.forward(head, body);
        }
        let length = || length(&head, &body);
        let (mechanism, choice) = match config.policies.extended_connect(&head) {
            Some(protocol) => (
                Mechanism::ExtendedConnect,
                negotiation::choose_connect(&head, protocol, length, &config.registrations),
            ),
            None => (
                Mechanism::Upgrade,
                negotiation::choose(&head, length, &config.registrations, config.preference),
            ),
        };
        config.policies.offered(mechanism, choice.as_ref().ok().map(|choice| &choice.protocol));
        let Choice { candidate: registration, protocol, is_only, body: length } = match choice {
            Ok(choice) => choice,
            Err(decline) => return self.decline(decline, head, body),
        };
        // Negotiation declines every request to which hyper does not add the extension.
        let Some(on_upgrade) = head.extensions.get::<OnUpgrade>().cloned() else {
            return self.decline(Decline::Request, head, body);
        };
        let Some(handler) = &registration.handler else {
            let protocol = protocol.into_owned();
            let settings = Arc::clone(&config.handshakes);
            config.policies.prepare_asked(&mut head, mechanism, &protocol);
            let offer = Offered::new(&head.headers, is_only);
            let asked = Asked::new(&mut head, on_upgrade, mechanism, protocol, offer, settings);
            let advertise = config.policies.advertises_to(&head).then(|| Arc::clone(&self.config));
            let inner = self.inner.call(Request::from_parts(head, body));
            return Route::watched(inner, Some(asked), advertise);
        };
        let settings = &config.handshakes;
        let admission = settings.admissions.ask(&head);
        let session = match settings.begin(&protocol, &head, admission) {
            Ok(session) => Arc::new(session),
            Err(no_place) => {
                let forward =
                    no_place != NoPlace::Draining && config.at_capacity == AtCapacity::Forward;
                if (forward || handler.is_optional()) && !config.policies.required {
                    return self.decline(Decline::Capacity, head, body);
                }
                settings.observer.turned_away(no_place, &protocol, &head);
                return Route::answered(handshake::turn_away(no_place, length, mechanism));
            }
        };
        let making = Making::new(session.control(), Maker::Layer);
        head.extensions.remove::<OnUpgrade>();
        let handshake = Handshake {
            handler: handler.clone(),
            deciding: Deciding {
                deadline: handshake::deadline(&session, settings.timeout),
                offer: Offered::new(&head.headers, is_only),
                switching: Switching {
                    on_upgrade,
                    token: head.extensions.remove::<Token>().filter(Token::is_valid),
                    mechanism,
                    limits: settings.limits,
                    session,
                },
            },
        };
        Route::handshake(handshake.respond(head, body, length), making)
    }

    /// Forwards a request whose offer no handler takes.
    fn decline<B>(&mut self, decline: Decline, head: request::Parts, body: B) -> Route<S::Future>
    where
        S: Service<Request<B>>,
        B: Body,
    {
        self.config.handshakes.observer.declined(decline, &head);
        self.forward(head, body)
    }

    /// Forwards a request that no handler takes, or demands that it upgrades.
    fn forward<B>(&mut self, mut head: request::Parts, body: B) -> Route<S::Future>
    where
        S: Service<Request<B>>,
        B: Body,
    {
        let config = &*self.config;
        if config.policies.answers(&head) {
            let is_read = length(&head, &body).is_some_and(Length::is_zero);
            let response = config.policies.demand(&head, is_read, &config.registered);
            config.handshakes.observer.demanded(response.status(), &head);
            return Route::answered(response);
        }
        let advertise = config.policies.advertises_to(&head).then(|| Arc::clone(&self.config));
        config.policies.prepare(&mut head);
        let inner = self.inner.call(Request::from_parts(head, body));
        match advertise {
            Some(_) => Route::watched(inner, None, advertise),
            None => Route::forward(inner),
        }
    }
}

impl<S, M, ReqBody, ResBody> Service<Request<ReqBody>> for Upgrade<S, M>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    M: Bodies<ResBody>,
    ReqBody: Body + Send + 'static,
    ReqBody::Data: Send,
    ReqBody::Error: Into<BoxError>,
{
    type Response = Response<M::Body>;
    type Error = S::Error;
    type Future = UpgradeFuture<S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let bodies = self.bodies.clone();
        let has_offer = self.has_offer(&request);
        if has_offer || !self.forwards_ordinary {
            return UpgradeFuture { route: self.route(request, has_offer), bodies };
        }
        UpgradeFuture { route: Route::forward(self.inner.call(request)), bodies }
    }
}

/// How long the body is, or `None` if it may not be the client's.
fn length(head: &request::Parts, body: &impl Body) -> Option<Length> {
    let hint = body.size_hint();
    let at_most = if body.is_end_stream() { Some(0) } else { hint.upper() };
    let length = Length::of(&head.headers, hint.lower(), at_most)?;
    match head.extensions.get::<Token>().filter(|token| token.is_valid()) {
        Some(token) => length.confirmed_by(token.length),
        None => Some(length),
    }
}
