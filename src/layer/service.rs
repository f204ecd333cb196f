//! The service: whether a request is the inner service's or a handler's.

use std::{
    future,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, Version, header::UPGRADE, request};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use tower::Service;

use super::{AtCapacity, Config, body::UpgradeBody, future::UpgradeFuture};
use crate::{
    connections::NoPlace,
    error::BoxError,
    handshake::{self, Handshake, token::Token},
    negotiation::{self, Decline, length::Length},
};

/// A [`Service`] that hands requests that offer a registered protocol to its handler, and all
/// others to the service inside.
///
/// Made by [`UpgradeLayer`](crate::UpgradeLayer). Its readiness and its errors are those of the
/// service inside. A request that is forwarded is forwarded as it came, its extensions included,
/// and costs no allocation.
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
pub struct Upgrade<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> Upgrade<S> {
    pub(crate) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }

    /// Returns the service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the service inside, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the service inside, and drops the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> Upgrade<S> {
    /// Forwards a request that has an `Upgrade` field.
    fn decline<B>(
        &mut self,
        decline: Decline,
        head: request::Parts,
        body: B,
    ) -> UpgradeFuture<S::Future>
    where
        S: Service<Request<B>>,
    {
        self.config.observer.declined(decline, &head);
        UpgradeFuture::forward(self.inner.call(Request::from_parts(head, body)))
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Upgrade<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ReqBody: Body + Send + 'static,
    ReqBody::Data: Send,
    ReqBody::Error: Into<BoxError>,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<UpgradeBody<ResBody>>;
    type Error = S::Error;
    type Future = UpgradeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // hyper adds the extension to HTTP/1.1 requests with an `Upgrade` line and to CONNECT, so a
        // request without it can be forwarded at once. It stays where it is until the request is
        // ours: a service inside may want it.
        if request.extensions().get::<OnUpgrade>().is_none() {
            // RFC 9110 §7.8 has `Upgrade` ignored in HTTP/1.0. A proxy in front that speaks it is the
            // usual reason why nothing is ever switched, so that operators have to see it.
            if request.version() == Version::HTTP_10 && request.headers().contains_key(UPGRADE) {
                let (head, body) = request.into_parts();
                return self.decline(Decline::Request, head, body);
            }
            return UpgradeFuture::forward(self.inner.call(request));
        }
        let (mut head, body) = request.into_parts();
        let config = &*self.config;
        let hint = body.size_hint();
        let length = Length::of(&head.headers, hint.lower(), hint.upper());
        let choice = negotiation::choose(&head, length, &config.registrations, config.preference);
        let (registration, protocol, length) = match choice {
            Ok(choice) => choice,
            Err(decline) => return self.decline(decline, head, body),
        };
        let place = match config.observer.connections.reserve(config.max_connections) {
            Ok(place) => place,
            Err(no_place) => {
                let forward =
                    no_place == NoPlace::Full && config.at_capacity == AtCapacity::Forward;
                if forward || registration.handler.is_optional() {
                    return self.decline(Decline::Capacity, head, body);
                }
                config.observer.turned_away(no_place, &protocol, &head);
                let response = future::ready(handshake::turn_away(no_place, length));
                return UpgradeFuture::handshake(|_| response);
            }
        };
        let protocol = protocol.into_owned();
        // `choose` is given a head that has the extension, and cannot change it.
        let on_upgrade = head.extensions.remove::<OnUpgrade>().expect("was there a moment ago");
        let handshake = Handshake {
            handler: registration.handler.clone(),
            on_upgrade,
            token: head.extensions.remove::<Token>(),
            session: Arc::new(config.observer.begin(
                place,
                protocol,
                &head,
                config.handshake_timeout,
            )),
        };
        UpgradeFuture::handshake(|alive| handshake.respond(head, body, length, alive))
    }
}
