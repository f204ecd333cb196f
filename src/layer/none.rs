//! The inner service of a layer that has none.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use tower::Service;

use crate::handler::rejection::OwnBody;

/// The inner service of an [`UpgradeLayer`] that was made [into a
/// service](crate::UpgradeLayer::into_service).
///
/// The layer answers all requests itself. Requests for protocols of [`UpgradeLayer::on_inner`] get a 501.
///
/// [`UpgradeLayer`]: crate::UpgradeLayer
/// [`UpgradeLayer::on_inner`]: crate::UpgradeLayer::on_inner
pub struct NoService<B> {
    body: fn(OwnBody) -> B,
}

impl<B> NoService<B> {
    pub(super) fn new(body: fn(OwnBody) -> B) -> Self {
        Self { body }
    }
}

// By hand, because derived they would ask the same of `B`.
impl<B> Clone for NoService<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for NoService<B> {}

impl<B> fmt::Debug for NoService<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoService").finish_non_exhaustive()
    }
}

impl<R, B> Service<Request<R>> for NoService<B> {
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Ready<Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<R>) -> Self::Future {
        let mut response = Response::new((self.body)(OwnBody::empty()));
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        ready(Ok(response))
    }
}
