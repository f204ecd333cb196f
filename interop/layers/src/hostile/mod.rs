//! Stacks that take a 101 back: behind what they answer instead, no handler may run.

mod routers;
pub(crate) mod stacks;

use std::{convert::Infallible, future, hint::black_box, time::Duration};

use axum::{extract::Request, response::Response};
use axum_htmx::HxRequestGuardLayer;
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

use self::stacks::{
    Again, ask, change, code, collect, compress, error, keep, once, panic, replace_later,
    set_status, slow, status,
};
use crate::harness::{Build, under};

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
    all.extend(routers::stores_down());
    all.extend(routers::axum());
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

const SECOND: Duration = Duration::from_secs(1);
