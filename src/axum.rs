//! axum: switches and rejections as responses of its handlers, and a WebSocket offer as an extractor.

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

#[cfg(feature = "websocket")]
mod offer {
    use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
    use http::{HeaderValue, Response, StatusCode, header::UPGRADE, request};
    use http_body_util::Full;
    use hyper::upgrade::OnUpgrade;

    use crate::{
        handler::{answer::Link, rejection::Rejection},
        negotiation::{self, Offered, length::Length},
        observe::trace,
        websocket::{Offer, Origins},
    };

    /// Takes the offer of a WebSocket, with all checks done.
    ///
    /// The [`Origins`] are those in the request's extensions (`axum::Extension`), and
    /// [`Origins::same_host`] if there are none. A request without an offer is rejected with 426.
    impl<S> FromRequestParts<S> for Offer
    where
        S: Sync,
    {
        type Rejection = Rejection;

        async fn from_request_parts(
            head: &mut request::Parts,
            _state: &S,
        ) -> Result<Self, Rejection> {
            match offer(head) {
                Ok(offer) => offer,
                Err(missing) => Err(upgrade_required(missing)),
            }
        }
    }

    /// Takes the offer of a WebSocket if there is one, so that a page and a socket can share a path.
    /// An offer that fails a check is rejected.
    impl<S> OptionalFromRequestParts<S> for Offer
    where
        S: Sync,
    {
        type Rejection = Rejection;

        async fn from_request_parts(
            head: &mut request::Parts,
            _state: &S,
        ) -> Result<Option<Self>, Rejection> {
            offer(head).ok().transpose()
        }
    }

    /// The reasons why there is no offer to take.
    #[derive(Clone, Copy)]
    enum Missing {
        /// The client offers no WebSocket, or none that could be taken.
        Offer,
        /// No layer hands the client's offer on.
        Layer,
    }

    /// Checks the offer, or returns why there is none. Logs that the layer is missing.
    fn offer(head: &request::Parts) -> Result<Result<Offer, Rejection>, Missing> {
        if head.extensions.get().is_some_and(|link: &Link| link.is_for("websocket")) {
            let origins = head.extensions.get().cloned().unwrap_or_else(Origins::same_host);
            return Ok(Offer::from_head(head, &origins));
        }
        if is_forgotten(head) {
            trace::unasked(head);
            return Err(Missing::Layer);
        }
        Err(Missing::Offer)
    }

    /// Whether the client offers a WebSocket, hyper could upgrade the connection, and no layer took
    /// part. A layer forwards offers with a body.
    fn is_forgotten(head: &request::Parts) -> bool {
        head.extensions.get::<OnUpgrade>().is_some()
            && negotiation::names_connection_option(&head.headers, "upgrade")
            && "websocket".parse().is_ok_and(|it| Offered::new(&head.headers).allows(&[it]))
            && Length::of(&head.headers, 0, None).is_some_and(Length::is_zero)
    }

    /// Answers a request without an offer that could be taken.
    fn upgrade_required(missing: Missing) -> Rejection {
        let text = match missing {
            Missing::Offer => UPGRADE_REQUIRED,
            Missing::Layer => NO_LAYER,
        };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        Rejection::from(response).with_reason("offer")
    }

    const UPGRADE_REQUIRED: &str = "this path is a WebSocket: connect with a WebSocket client\n";

    const NO_LAYER: &str =
        "this path is a WebSocket, but no `UpgradeLayer::on_inner(\"websocket\")` is around it\n";
}
