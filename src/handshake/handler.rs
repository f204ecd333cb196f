//! A handler of any type, as a layer holds it, and its decision.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, request};

use super::{Deciding, UnlessAborted};
use crate::{
    connections::{
        run::{CatchPanic, catch_panic},
        until::until,
    },
    handler::{UpgradeHandler, rejection::OwnBody},
    negotiation::protocol::Protocol,
};

/// A handler of any type.
#[derive(Clone)]
pub(crate) struct BoxedHandler(Arc<dyn ErasedHandler>);

/// The future of a response of the layer.
pub(crate) type Responding = Pin<Box<dyn Future<Output = Response<OwnBody>> + Send>>;

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

    /// Asks the handler, and makes the response. The future is the one allocation for the handler.
    pub(super) fn respond(self, request: Request<Bytes>, deciding: Deciding) -> Responding {
        self.0.respond(request, deciding)
    }
}

/// The methods of [`UpgradeHandler`] that a trait object can have.
trait ErasedHandler: Send + Sync {
    fn accepts(&self, head: &request::Parts, protocol: &Protocol<'_>) -> bool;
    fn body_limit(&self) -> usize;
    fn is_optional(&self) -> bool;
    fn reads_chunked_body(&self) -> bool;
    fn respond(self: Arc<Self>, request: Request<Bytes>, deciding: Deciding) -> Responding;
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

    fn respond(self: Arc<Self>, request: Request<Bytes>, deciding: Deciding) -> Responding {
        let session = Arc::clone(&deciding.switching.session);
        let mechanism = deciding.switching.mechanism;
        let decided = session.instrument(async move {
            // Out of the `Result` before it is awaited, or this future would hold it twice.
            let future = match catch_panic(|| self.upgrade(request)) {
                Ok(future) => future,
                Err(panic) => return deciding.respond(Ok(Err(panic))),
            };
            let decision = until(deciding.deadline, CatchPanic { future }).await;
            deciding.respond(decision)
        });
        Box::pin(UnlessAborted { session, mechanism, waker: None, decided })
    }
}
