//! Rows of axum and axum-extra: each place of a `Router` that takes a layer, and its own layers.

use std::time::Duration;

use axum::{
    Extension,
    error_handling::HandleErrorLayer,
    extract::{DefaultBodyLimit, FromRequestParts, Request, State},
    middleware::{
        Next, ResponseAxumBodyLayer, from_extractor, from_fn, from_fn_with_state, map_request,
        map_request_with_state, map_response, map_response_with_state,
    },
    response::{IntoResponse, Response},
    routing::{any_service, get, get_service, method_routing},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, request::Parts};
use tower::{BoxError, Layer, ServiceBuilder, timeout::TimeoutLayer};
use tower_http::{
    compression::CompressionLayer, timeout::ResponseBodyTimeoutLayer, trace::TraceLayer,
};
use tower_upgrade::{Switch, UpgradeLayer};

use super::{EOF, Kind::*, Row, WORKS, row};
use crate::harness::{app, routed, served, under};

const MINUTE: Duration = Duration::from_mins(1);

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = layers();
    rows.extend(places());
    rows.extend(ours());
    rows
}

/// axum's own layers, on a `Router`.
fn layers() -> Vec<Row> {
    vec![
        row("from_fn", Head, routed(|router| router.layer(from_fn(pass))), WORKS),
        row("from_fn, not on a Router", Head, under(from_fn(pass)), WORKS),
        row(
            "from_fn_with_state",
            Head,
            routed(|router| router.layer(from_fn_with_state(1_u8, pass_with_state))),
            WORKS,
        ),
        row(
            "from_fn, ten of them",
            Head,
            routed(|router| (0..10).fold(router, |router, _| router.layer(from_fn(pass)))),
            WORKS,
        ),
        row(
            "from_fn, a task of its own",
            Limit,
            routed(|router| router.layer(from_fn(spawn))),
            WORKS,
        ),
        row(
            "from_fn, tokio::time::timeout",
            Limit,
            routed(|router| router.layer(from_fn(limit))),
            WORKS,
        ),
        row(
            "map_request",
            Head,
            routed(|router| router.layer(map_request(|request: Request| async { request }))),
            WORKS,
        ),
        row(
            "map_request_with_state",
            Head,
            routed(|router| {
                let map = |State(_): State<u8>, request: Request| async { request };
                router.layer(map_request_with_state(1_u8, map))
            }),
            WORKS,
        ),
        row(
            "map_response, a header",
            Head,
            routed(|router| router.layer(map_response(add_header))),
            WORKS,
        ),
        row(
            "map_response, parts",
            Head,
            routed(|router| {
                let add = |response: Response| async { ([("x-row", "value")], response) };
                router.layer(map_response(add))
            }),
            WORKS,
        ),
        row(
            "map_response_with_state",
            Head,
            routed(|router| {
                let map = |State(_): State<u8>, response: Response| async { response };
                router.layer(map_response_with_state(1_u8, map))
            }),
            WORKS,
        ),
        row(
            "from_extractor",
            Gate,
            routed(|router| router.layer(from_extractor::<Authorized>())),
            WORKS,
        ),
        row("Extension", Head, routed(|router| router.layer(Extension(1_u8))), WORKS),
        row(
            "DefaultBodyLimit, max",
            Head,
            routed(|router| router.layer(DefaultBodyLimit::max(64))),
            WORKS,
        ),
        row(
            "DefaultBodyLimit, disable",
            Head,
            routed(|router| router.layer(DefaultBodyLimit::disable())),
            WORKS,
        ),
        row("ResponseAxumBodyLayer", Router, under(ResponseAxumBodyLayer), WORKS),
        row(
            "HandleErrorLayer around TimeoutLayer",
            Limit,
            routed(|router| {
                router.layer(
                    ServiceBuilder::new()
                        .layer(HandleErrorLayer::new(|_: BoxError| async {
                            StatusCode::REQUEST_TIMEOUT
                        }))
                        .layer(TimeoutLayer::new(MINUTE)),
                )
            }),
            WORKS,
        ),
        row(
            "HandleErrorLayer around load shed, concurrency limit and buffer",
            Limit,
            routed(|router| {
                router.layer(
                    ServiceBuilder::new()
                        .layer(HandleErrorLayer::new(|_: BoxError| async {
                            StatusCode::SERVICE_UNAVAILABLE
                        }))
                        .load_shed()
                        .concurrency_limit(8)
                        .buffer(8),
                )
            }),
            WORKS,
        ),
        row(
            "axum-extra: option_layer",
            Router,
            routed(|router| {
                router.layer(axum_extra::middleware::option_layer(Some(TraceLayer::new_for_http())))
            }),
            WORKS,
        ),
    ]
}

/// `UpgradeLayer` more than once, and `outermost()` elsewhere than around everything.
fn ours() -> Vec<Row> {
    vec![
        row("UpgradeLayer outside, without handlers", Head, under(UpgradeLayer::new()), WORKS),
        row(
            "UpgradeLayer outside, on a Router",
            Head,
            routed(|router| router.layer(UpgradeLayer::new().on("other", never))),
            WORKS,
        ),
        row(
            "Router::layer(outermost()) around a layer that hides the response body",
            Passes,
            routed(|router| {
                router.layer(ResponseBodyTimeoutLayer::new(MINUTE)).layer(UpgradeLayer::outermost())
            }),
            WORKS,
        ),
        row(
            "outermost() under a layer that hides the response body",
            HidesResponse,
            routed(|router| {
                router.layer(UpgradeLayer::outermost()).layer(ResponseBodyTimeoutLayer::new(MINUTE))
            }),
            EOF,
        ),
        row(
            "outermost() under compression and trace",
            Passes,
            routed(|router| {
                router
                    .layer(UpgradeLayer::outermost())
                    .layer(CompressionLayer::new())
                    .layer(TraceLayer::new_for_http())
            }),
            WORKS,
        ),
    ]
}

/// Places of a `Router`, or ways to hang one into another.
fn places() -> Vec<Row> {
    vec![
        row("a Router", Router, routed(|router| router), WORKS),
        row(
            "Router::layer",
            Router,
            routed(|router| router.layer(TraceLayer::new_for_http())),
            WORKS,
        ),
        row(
            "Router::route_layer",
            Router,
            routed(|router| router.route_layer(TraceLayer::new_for_http())),
            WORKS,
        ),
        row(
            "a layer around a Router",
            Router,
            Box::new(|subject| app(TraceLayer::new_for_http().layer(subject.router()))),
            WORKS,
        ),
        row("Router::nest", Router, routed(|router| axum::Router::new().nest("/x", router)), WORKS),
        row(
            "Router::nest_service",
            Router,
            served(|inner| axum::Router::new().nest_service("/x", inner)),
            WORKS,
        ),
        row(
            "Router::nest, twice",
            Router,
            routed(|router| {
                axum::Router::new().nest("/x", axum::Router::new().fallback_service(router))
            }),
            WORKS,
        ),
        row(
            "Router::merge",
            Router,
            routed(|router| axum::Router::new().route("/other", get(other)).merge(router)),
            WORKS,
        ),
        row(
            "Router::fallback_service, a Router",
            Router,
            routed(|router| axum::Router::new().fallback_service(router)),
            WORKS,
        ),
        row(
            "Router::fallback_service",
            Router,
            served(|inner| axum::Router::new().fallback_service(inner)),
            WORKS,
        ),
        row(
            "Router::fallback_service, Router::layer",
            Router,
            served(|inner| {
                let router = axum::Router::new().fallback_service(inner);
                router.layer(TraceLayer::new_for_http())
            }),
            WORKS,
        ),
        row(
            "Router::route_service",
            Router,
            served(|inner| axum::Router::new().route_service("/x", inner)),
            WORKS,
        ),
        row(
            "MethodRouter::layer",
            Router,
            served(|inner| {
                let layer = TraceLayer::new_for_http();
                axum::Router::new().route("/x", any_service(inner).layer(layer))
            }),
            WORKS,
        ),
        row(
            "MethodRouter::route_layer",
            Router,
            served(|inner| {
                let routes = get_service(inner.clone()).post_service(inner);
                axum::Router::new().route("/x", routes.route_layer(TraceLayer::new_for_http()))
            }),
            WORKS,
        ),
        row(
            "MethodRouter::fallback_service",
            Router,
            served(|inner| {
                let delete = method_routing::delete(other).fallback_service(inner);
                axum::Router::new().route("/x", delete)
            }),
            WORKS,
        ),
        row(
            "Router::with_state, twice layered",
            Router,
            routed(|router| {
                let router = axum::Router::<u8>::new().merge(router.with_state(()));
                router.layer(Extension(1_u16)).with_state(1_u8).layer(TraceLayer::new_for_http())
            }),
            WORKS,
        ),
    ]
}

async fn pass(request: Request, next: Next) -> Response {
    next.run(request).await
}

async fn pass_with_state(State(_): State<u8>, request: Request, next: Next) -> Response {
    next.run(request).await
}

async fn spawn(request: Request, next: Next) -> Response {
    let task = tokio::spawn(next.run(request));
    task.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn limit(request: Request, next: Next) -> Result<Response, StatusCode> {
    let response = tokio::time::timeout(MINUTE, next.run(request)).await;
    response.map_err(|_| StatusCode::REQUEST_TIMEOUT)
}

async fn add_header(mut response: Response) -> Response {
    let name = HeaderName::from_static("x-row");
    response.headers_mut().insert(name, HeaderValue::from_static("value"));
    response
}

async fn other() {}

async fn never(_: http::Request<Bytes>) -> Result<Switch, StatusCode> {
    Err(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Whether the request has the header `Authorization`.
struct Authorized;

impl<S: Sync> FromRequestParts<S> for Authorized {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let authorized = parts.headers.contains_key(http::header::AUTHORIZATION);
        authorized.then_some(Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}
