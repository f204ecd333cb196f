//! axum: switches and rejections as responses of its handlers, and offers as extractors.

#[cfg(feature = "websocket")]
mod offer;
mod protocol;

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};

use crate::handler::{rejection::Rejection, switch::Switch};

/// The yes of a handler to [`UpgradeLayer::on_inner`](crate::UpgradeLayer::on_inner). See
/// [`Switch::into_response`].
impl IntoResponse for Switch {
    fn into_response(self) -> Response {
        Self::into_response(self)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::new)
    }
}
