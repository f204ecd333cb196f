//! The type of the bodies of responses: one that wraps the inner service's, or the same.

use std::fmt;

use bytes::Bytes;
use http::Response;
use http_body::Body;

use super::{body::UpgradeBody, outermost::OutermostBody};
use crate::{error::BoxError, handler::rejection::OwnBody};

/// Gives responses of the inner service and of the layer one type of body. Implemented by [`Wrapped`],
/// [`Transparent`] and [`Mapped`], and by no other type.
pub trait Bodies<B>: Clone + sealed::Sealed {
    /// The body of all responses.
    type Body;

    /// Makes the response from that of the inner service.
    #[doc(hidden)]
    fn inner(&self, response: Response<B>) -> Response<Self::Body>;

    /// Makes it from the body of a response of the layer.
    #[doc(hidden)]
    fn own(&self, body: OwnBody) -> Self::Body;
}

/// Responses have an [`UpgradeBody`], which wraps the inner service's body. The default of
/// [`UpgradeLayer`](crate::UpgradeLayer).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Wrapped;

impl<B> Bodies<B> for Wrapped
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Body = UpgradeBody<B>;

    #[inline]
    fn inner(&self, response: Response<B>) -> Response<Self::Body> {
        response.map(UpgradeBody::inner)
    }

    fn own(&self, body: OwnBody) -> Self::Body {
        UpgradeBody::own(body)
    }
}

/// Responses have an [`OutermostBody`], which wraps an inner service's body of any type. The default
/// of [`Outermost`](crate::Outermost).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Transparent;

impl<B> Bodies<B> for Transparent {
    type Body = OutermostBody<B>;

    #[inline]
    fn inner(&self, response: Response<B>) -> Response<Self::Body> {
        response.map(OutermostBody::inner)
    }

    fn own(&self, body: OwnBody) -> Self::Body {
        OutermostBody::own(body)
    }
}

/// Responses have the inner service's type of body, into which the layer's own bodies are converted.
///
/// Made by [`UpgradeLayer::with_body`](crate::UpgradeLayer::with_body); see there for an example.
pub struct Mapped<B>(pub(super) fn(OwnBody) -> B);

impl<B> Bodies<B> for Mapped<B> {
    type Body = B;

    #[inline]
    fn inner(&self, response: Response<B>) -> Response<B> {
        response
    }

    fn own(&self, body: OwnBody) -> B {
        (self.0)(body)
    }
}

// By hand, because derived they would ask the same of `B`.
impl<B> Clone for Mapped<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Mapped<B> {}

impl<B> fmt::Debug for Mapped<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mapped").finish_non_exhaustive()
    }
}

mod sealed {
    #[allow(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}

    impl Sealed for super::Transparent {}
    impl Sealed for super::Wrapped {}
    impl<B> Sealed for super::Mapped<B> {}
}
