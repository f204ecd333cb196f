//! Stacks that take a 101 back: behind what they answer instead, no handler may run.

pub(crate) mod stacks;

use std::{convert::Infallible, future, hint::black_box, time::Duration};

use axum::{
    Router,
    error_handling::HandleErrorLayer,
    extract::Request,
    middleware::{Next, from_fn, map_response},
    response::Response,
    routing::any_service,
};
use axum_htmx::HxRequestGuardLayer;
use axum_login::AuthManagerLayerBuilder;
use axum_messages::{Messages, MessagesManagerLayer};
use http::{HeaderValue, StatusCode, header::UPGRADE};
use http_body::Body as _;
use tower::{
    BoxError, ServiceBuilder,
    layer::layer_fn,
    retry::RetryLayer,
    util::{AndThenLayer, MapResponseLayer},
};
use tower_http::{
    catch_panic::CatchPanicLayer, set_status::SetStatusLayer, timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_sessions::SessionManagerLayer;

use self::stacks::{
    Again, ask, change, code, collect, compress, error, keep, once, panic, replace_later,
    set_status, slow, status,
};
use crate::{
    harness::{Build, routed, served, under},
    stores::{Backend, Down, set_value},
};

/// A stack that takes back the 101 of a handler that has agreed.
pub(crate) struct Hostile {
    pub(crate) name: &'static str,
    pub(crate) build: Build,
    /// Whether the handler runs all the same without `outermost()`, for each of `Client::ALL`.
    pub(crate) escapes: [bool; 3],
}

const REFUSED: [bool; 3] = [false; 3];
/// Unless the client breaks the connection by what it says behind its request.
const ESCAPES: [bool; 3] = [false, true, true];
const ALWAYS: [bool; 3] = [true; 3];

fn hostile(name: &'static str, build: Build, escapes: [bool; 3]) -> Hostile {
    Hostile { name, build, escapes }
}

pub(crate) fn all() -> Vec<Hostile> {
    let mut all = changed();
    all.extend(replaced());
    all.extend(failed());
    all.extend(stores_down());
    all.extend(on_a_router());
    all
}

/// The status or a header of the 101 is changed in place, its body stays.
fn changed() -> Vec<Hostile> {
    vec![
        hostile("status changed to 500", status(500), REFUSED),
        hostile("status changed to 200", status(200), REFUSED),
        hostile("status changed to 204", status(204), ESCAPES),
        hostile("status changed to 304", status(304), ESCAPES),
        hostile("status changed to 426", status(426), REFUSED),
        hostile("SetStatusLayer, 500", set_status(500), REFUSED),
        hostile("SetStatusLayer, 204", set_status(204), ESCAPES),
        hostile("SetStatusLayer, 304", set_status(304), ESCAPES),
        hostile(
            "status changed to 500, CompressionLayer outside",
            under(ServiceBuilder::new().layer(compress()).layer(SetStatusLayer::new(code(500)))),
            REFUSED,
        ),
        hostile(
            "status changed to 500, CompressionLayer inside",
            under(ServiceBuilder::new().layer(SetStatusLayer::new(code(500))).layer(compress())),
            REFUSED,
        ),
        hostile(
            "status changed to 204, CompressionLayer inside",
            under(ServiceBuilder::new().layer(SetStatusLayer::new(code(204))).layer(compress())),
            REFUSED,
        ),
        hostile(
            "status changed to 500, TraceLayer outside",
            under(ServiceBuilder::new().layer(TraceLayer::new_for_http()).layer(change(500))),
            REFUSED,
        ),
        hostile(
            "status changed to 500, the size asked",
            under(MapResponseLayer::new(|mut response: Response| {
                assert_eq!(response.body().size_hint().exact(), Some(0));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            })),
            ESCAPES,
        ),
        hostile(
            "`Upgrade` changed",
            under(MapResponseLayer::new(|mut response: Response| {
                response.headers_mut().insert(UPGRADE, HeaderValue::from_static("other"));
                response
            })),
            ALWAYS,
        ),
        hostile(
            "`Upgrade` removed",
            under(MapResponseLayer::new(|mut response: Response| {
                response.headers_mut().remove(UPGRADE);
                response
            })),
            ALWAYS,
        ),
    ]
}

/// Another response is sent in place of the 101.
fn replaced() -> Vec<Hostile> {
    vec![
        hostile("replaced", under(MapResponseLayer::new(|_: Response| error())), REFUSED),
        hostile("replaced, later", replace_later(drop), REFUSED),
        hostile(
            "replaced, the end asked",
            replace_later(|response| {
                black_box(response.body().is_end_stream());
            }),
            REFUSED,
        ),
        hostile(
            "replaced, the size asked",
            replace_later(|response| {
                black_box(response.body().size_hint());
            }),
            REFUSED,
        ),
        hostile("replaced, both asked", replace_later(|response| ask(&response)), ESCAPES),
        hostile(
            "replaced, both asked twice",
            replace_later(|response| {
                ask(&response);
                ask(&response);
            }),
            ESCAPES,
        ),
        hostile(
            "replaced, both asked at once",
            under(MapResponseLayer::new(|response: Response| {
                ask(&response);
                error()
            })),
            ESCAPES,
        ),
        hostile(
            "replaced, the 101 dropped by another task",
            replace_later(|response| drop(tokio::spawn(async move { drop(response) }))),
            REFUSED,
        ),
        hostile(
            "replaced, the 101 kept by another task",
            replace_later(|response| drop(tokio::spawn(keep(response)))),
            REFUSED,
        ),
        hostile(
            "replaced, the body moved to the new response",
            under(MapResponseLayer::new(|response: Response| {
                error().map(|_| response.into_body())
            })),
            REFUSED,
        ),
        hostile("body collected, a 500 made of it", collect(500), REFUSED),
        hostile("body collected, a 200 made of it", collect(200), REFUSED),
        hostile("body collected, a 204 made of it", collect(204), REFUSED),
        hostile(
            "HxRequestGuardLayer, without its header",
            under(
                ServiceBuilder::new()
                    .map_request(|mut request: Request| {
                        request.headers_mut().remove("hx-request");
                        request
                    })
                    .layer(HxRequestGuardLayer::default()),
            ),
            REFUSED,
        ),
        hostile(
            "RetryLayer, whose second try fails",
            under(
                ServiceBuilder::new()
                    .layer(RetryLayer::new(Again::default()))
                    .layer(layer_fn(once)),
            ),
            REFUSED,
        ),
        hostile(
            "RetryLayer, whose second try is a second handshake",
            under(RetryLayer::new(Again::default())),
            ALWAYS,
        ),
    ]
}

/// The response is lost.
fn failed() -> Vec<Hostile> {
    vec![
        hostile(
            "service failed",
            under(AndThenLayer::new(|_: Response| async {
                Err::<Response, BoxError>("no".into())
            })),
            REFUSED,
        ),
        hostile(
            "response dropped, no answer",
            under(AndThenLayer::new(|response: Response| {
                drop(response);
                future::pending::<Result<Response, Infallible>>()
            })),
            REFUSED,
        ),
        hostile(
            "response held longer than a handshake may take",
            under(slow(Duration::from_mins(1))),
            REFUSED,
        ),
        hostile(
            "CatchPanicLayer, a panic behind the response",
            under(
                ServiceBuilder::new()
                    .layer(CatchPanicLayer::new())
                    .map_response(|_: Response| -> Response { panic() }),
            ),
            REFUSED,
        ),
        hostile(
            "CatchPanicLayer, a panic later, both asked",
            under(ServiceBuilder::new().layer(CatchPanicLayer::new()).and_then(
                async |response: Response| {
                    tokio::task::yield_now().await;
                    ask(&response);
                    drop(response);
                    Ok::<Response, Infallible>(panic())
                },
            )),
            ESCAPES,
        ),
        hostile(
            "TimeoutLayer of tower-http, behind the response",
            under(
                ServiceBuilder::new()
                    .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SECOND))
                    .layer(slow(2 * SECOND)),
            ),
            REFUSED,
        ),
        hostile(
            "TimeoutLayer of tower, behind the response",
            under(ServiceBuilder::new().timeout(SECOND).layer(slow(2 * SECOND))),
            REFUSED,
        ),
    ]
}

/// The session layer answers 500 when it cannot save what the request changed.
fn stores_down() -> Vec<Hostile> {
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
fn on_a_router() -> Vec<Hostile> {
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

const SECOND: Duration = Duration::from_secs(1);
