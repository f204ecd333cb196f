//! A handler of any type, as a layer holds it.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, request};

use super::{UpgradeHandler, rejection::Rejection, switch::Switch};
use crate::negotiation::protocol::Protocol;

/// A handler of any type. It allocates once for each request that it takes over.
#[derive(Clone)]
pub(crate) struct BoxedHandler(Arc<dyn ErasedHandler>);

type Decision<'h> = Pin<Box<dyn Future<Output = Result<Switch, Rejection>> + Send + 'h>>;

impl BoxedHandler {
    pub(crate) fn new(handler: impl UpgradeHandler) -> Self {
        Self(Arc::new(handler))
    }

    pub(crate) fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        self.0.accepts(head, protocol)
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.0.body_limit()
    }

    pub(crate) fn is_optional(&self) -> bool {
        self.0.is_optional()
    }

    pub(crate) fn reads_chunked_body(&self) -> bool {
        self.0.reads_chunked_body()
    }

    pub(crate) fn upgrade(&self, request: Request<Bytes>) -> Decision<'_> {
        self.0.upgrade(request)
    }
}

/// The methods of [`UpgradeHandler`] that a trait object can have.
trait ErasedHandler: Send + Sync {
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool;
    fn body_limit(&self) -> usize;
    fn is_optional(&self) -> bool;
    fn reads_chunked_body(&self) -> bool;
    fn upgrade(&self, request: Request<Bytes>) -> Decision<'_>;
}

impl<H> ErasedHandler for H
where
    H: UpgradeHandler,
{
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool {
        UpgradeHandler::accepts(self, head, protocol)
    }

    fn body_limit(&self) -> usize {
        UpgradeHandler::body_limit(self)
    }

    fn is_optional(&self) -> bool {
        UpgradeHandler::is_optional(self)
    }

    fn reads_chunked_body(&self) -> bool {
        UpgradeHandler::reads_chunked_body(self)
    }

    fn upgrade(&self, request: Request<Bytes>) -> Decision<'_> {
        Box::pin(UpgradeHandler::upgrade(self, request))
    }
}
