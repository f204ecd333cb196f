//! Handlers that are narrowed: to some requests, or to other limits of their bodies and connections.

use std::{fmt, future::Future, time::Duration};

use bytes::Bytes;
use http::{Request, request};

use super::{UpgradeHandler, rejection::Rejection, switch::Switch};
use crate::negotiation::protocol::Protocol;

/// A handler that takes over only requests for which a predicate returns `true`.
///
/// Made by [`UpgradeHandler::when`]; see there for an example.
#[derive(Clone, Copy)]
#[must_use = "a handler does nothing unless it is registered"]
pub struct When<H, P> {
    pub(super) handler: H,
    pub(super) predicate: P,
}

impl<H, P> UpgradeHandler for When<H, P>
where
    H: UpgradeHandler,
    P: Fn(&request::Parts) -> bool + Send + Sync + 'static,
{
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        (self.predicate)(head) && self.handler.accepts(head, protocol)
    }

    fn body_limit(&self) -> usize {
        self.handler.body_limit()
    }

    fn is_optional(&self) -> bool {
        self.handler.is_optional()
    }

    fn reads_chunked_body(&self) -> bool {
        self.handler.reads_chunked_body()
    }

    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send {
        self.handler.upgrade(request)
    }
}

impl<H, P> fmt::Debug for When<H, P>
where
    H: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handler, predicate: _ } = self;
        f.debug_struct("When").field("handler", handler).finish_non_exhaustive()
    }
}

/// A handler with its own limit for request bodies.
///
/// Made by [`UpgradeHandler::with_body_limit`] and [`UpgradeHandler::with_chunked_body_limit`]; see
/// there for examples.
#[derive(Clone, Copy, Debug)]
#[must_use = "a handler does nothing unless it is registered"]
pub struct WithBodyLimit<H> {
    pub(super) handler: H,
    pub(super) bytes: usize,
    pub(super) chunked: bool,
}

impl<H> UpgradeHandler for WithBodyLimit<H>
where
    H: UpgradeHandler,
{
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        self.handler.accepts(head, protocol)
    }

    fn body_limit(&self) -> usize {
        self.bytes
    }

    fn reads_chunked_body(&self) -> bool {
        self.chunked
    }

    fn is_optional(&self) -> bool {
        self.handler.is_optional()
    }

    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Switch, Rejection>> + Send {
        self.handler.upgrade(request)
    }
}

/// A handler with its own limit for the life of connections.
///
/// Made by [`UpgradeHandler::with_max_lifetime`]; see there for an example.
#[derive(Clone, Copy, Debug)]
#[must_use = "a handler does nothing unless it is registered"]
pub struct WithMaxLifetime<H> {
    pub(super) handler: H,
    pub(super) lifetime: Duration,
}

impl<H> UpgradeHandler for WithMaxLifetime<H>
where
    H: UpgradeHandler,
{
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        self.handler.accepts(head, protocol)
    }

    fn body_limit(&self) -> usize {
        self.handler.body_limit()
    }

    fn is_optional(&self) -> bool {
        self.handler.is_optional()
    }

    fn reads_chunked_body(&self) -> bool {
        self.handler.reads_chunked_body()
    }

    async fn upgrade(&self, request: Request<Bytes>) -> Result<Switch, Rejection> {
        let switch = self.handler.upgrade(request).await?;
        Ok(switch.or_max_lifetime(self.lifetime))
    }
}
