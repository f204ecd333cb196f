//! The service that makes a service for each connection, as `axum::serve` asks for one.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use tower::Service;

/// Makes a clone of a service for each connection.
///
/// Made by [`Upgrade::into_make_service`](crate::Upgrade::into_make_service); see
/// `UpgradeLayer::for_axum` for an example.
#[derive(Clone, Copy, Debug)]
pub struct IntoMakeService<S> {
    service: S,
}

impl<S> IntoMakeService<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service }
    }
}

impl<S, T> Service<T> for IntoMakeService<S>
where
    S: Clone,
{
    type Response = S;
    type Error = Infallible;
    type Future = Ready<Result<S, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _connection: T) -> Self::Future {
        ready(Ok(self.service.clone()))
    }
}
