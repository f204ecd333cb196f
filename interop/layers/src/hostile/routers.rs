//! Hostile stacks on a `Router` of axum: session layers, and axum's own.

use axum::{
    Router,
    error_handling::HandleErrorLayer,
    extract::Request,
    middleware::{Next, from_fn, map_response},
    response::Response,
    routing::any_service,
};
use axum_login::AuthManagerLayerBuilder;
use axum_messages::{Messages, MessagesManagerLayer};
use http::StatusCode;
use tower::{BoxError, ServiceBuilder};
use tower_sessions::SessionManagerLayer;

use super::{
    ESCAPES, Hostile, REFUSED, SECOND, hostile,
    stacks::{error, slow},
};
use crate::{
    harness::{routed, served},
    stores::{Backend, Down, set_value},
};

/// The session layer answers 500 when it cannot save what the request changed.
pub(super) fn stores_down() -> Vec<Hostile> {
    let sessions = || SessionManagerLayer::new(Down);
    vec![
        hostile(
            "tower-sessions, store down",
            routed(move |router| router.layer(from_fn(set_value)).layer(sessions())),
            REFUSED,
        ),
        hostile(
            "axum-login, store down",
            routed(move |router| {
                router
                    .layer(from_fn(set_value))
                    .layer(AuthManagerLayerBuilder::new(Backend, sessions()).build())
            }),
            REFUSED,
        ),
        hostile(
            "axum-messages, store down",
            routed(move |router| {
                let say = from_fn(async |messages: Messages, request: Request, next: Next| {
                    messages.info("hello");
                    next.run(request).await
                });
                router.layer(say).layer(MessagesManagerLayer).layer(sessions())
            }),
            REFUSED,
        ),
    ]
}

/// The same by way of axum's own layers.
pub(super) fn axum() -> Vec<Hostile> {
    vec![
        hostile(
            "Router::layer, map_response, replaced",
            routed(|router| router.layer(map_response(async |_: Response| error()))),
            REFUSED,
        ),
        hostile(
            "Router::layer, map_response, a status",
            routed(|router| router.layer(map_response(async |_: Response| StatusCode::CONFLICT))),
            REFUSED,
        ),
        hostile(
            "Router::layer, map_response, status changed",
            routed(|router| {
                router.layer(map_response(async |response: Response| {
                    (StatusCode::INTERNAL_SERVER_ERROR, response)
                }))
            }),
            REFUSED,
        ),
        hostile(
            "Router::layer, map_response, status changed to 204",
            routed(|router| {
                router.layer(map_response(async |response: Response| {
                    (StatusCode::NO_CONTENT, response)
                }))
            }),
            ESCAPES,
        ),
        hostile(
            "Router::layer, from_fn, replaced",
            routed(|router| {
                router.layer(from_fn(async |request: Request, next: Next| {
                    drop(next.run(request).await);
                    tokio::task::yield_now().await;
                    error()
                }))
            }),
            REFUSED,
        ),
        hostile(
            "Router::layer, from_fn, Err",
            routed(|router| {
                router.layer(from_fn(async |request: Request, next: Next| {
                    let response = next.run(request).await;
                    if response.status().is_informational() {
                        return Err(StatusCode::FORBIDDEN);
                    }
                    Ok(response)
                }))
            }),
            REFUSED,
        ),
        hostile(
            "Router::route_layer, map_response, replaced",
            routed(|router| router.route_layer(map_response(async |_: Response| error()))),
            REFUSED,
        ),
        hostile(
            "MethodRouter::layer, map_response, replaced",
            served(|inner| {
                let replace = map_response(async |_: Response| error());
                Router::new().route("/x", any_service(inner).layer(replace))
            }),
            REFUSED,
        ),
        hostile(
            "HandleErrorLayer, the service failed",
            routed(|router| {
                router.layer(
                    ServiceBuilder::new()
                        .layer(HandleErrorLayer::new(async |_: BoxError| {
                            StatusCode::INTERNAL_SERVER_ERROR
                        }))
                        .and_then(async |_: Response| Err::<Response, BoxError>("no".into())),
                )
            }),
            REFUSED,
        ),
        hostile(
            "HandleErrorLayer, a timeout behind the response",
            routed(|router| {
                router.layer(
                    ServiceBuilder::new()
                        .layer(HandleErrorLayer::new(async |_: BoxError| {
                            StatusCode::REQUEST_TIMEOUT
                        }))
                        .timeout(SECOND)
                        .layer(slow(2 * SECOND)),
                )
            }),
            REFUSED,
        ),
    ]
}
