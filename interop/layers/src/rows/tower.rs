//! Rows of tower.

use std::{convert::Infallible, future, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use tower::{
    BoxError, Layer, ServiceBuilder, ServiceExt,
    balance::p2c::Balance,
    buffer::{Buffer, BufferLayer},
    discover::ServiceList,
    filter::{AsyncFilterLayer, FilterLayer},
    hedge::Hedge,
    layer::layer_fn,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer},
    load::{CompleteOnResponse, Constant, PeakEwma, PendingRequests},
    load_shed::LoadShedLayer,
    reconnect::Reconnect,
    retry::{Policy, RetryLayer},
    service_fn,
    spawn_ready::SpawnReadyLayer,
    steer::Steer,
    timeout::TimeoutLayer,
    util::{
        AndThenLayer, BoxCloneService, BoxCloneServiceLayer, BoxCloneSyncService,
        BoxCloneSyncServiceLayer, BoxLayer, BoxService, Either, MapErrLayer, MapFutureLayer,
        MapRequestLayer, MapResponseLayer, MapResultLayer, ThenLayer, future_service, option_layer,
    },
};

use crate::{
    harness::{app, buffered, under},
    hostile::stacks::clone_request,
    rows::{Kind::*, Row, WORKS, row},
    subject::Inner,
};

const MINUTE: Duration = Duration::from_mins(1);

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = adapters();
    rows.extend(limits());
    rows.extend(choices());
    rows
}

/// Layers that map something, or only box it.
fn adapters() -> Vec<Row> {
    vec![
        row(
            "MapRequestLayer",
            Head,
            under(MapRequestLayer::new(|request: Request<Body>| request)),
            WORKS,
        ),
        row(
            "MapResponseLayer",
            Head,
            under(MapResponseLayer::new(|response: Response<Body>| response)),
            WORKS,
        ),
        row(
            "MapErrLayer",
            Head,
            under(MapErrLayer::new(|error: Infallible| -> BoxError { error.into() })),
            WORKS,
        ),
        row(
            "MapResultLayer",
            Head,
            under(MapResultLayer::new(|result: Result<Response<Body>, Infallible>| result)),
            WORKS,
        ),
        row("MapFutureLayer", Limit, under(MapFutureLayer::new(Box::pin)), WORKS),
        row(
            "ThenLayer",
            Limit,
            under(ThenLayer::new(|result: Result<Response<Body>, Infallible>| async {
                tokio::task::yield_now().await;
                result
            })),
            WORKS,
        ),
        row(
            "AndThenLayer",
            Limit,
            under(AndThenLayer::new(|response: Response<Body>| async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                Ok::<_, Infallible>(response)
            })),
            WORKS,
        ),
        row(
            "service_fn around it",
            Limit,
            under(layer_fn(|inner: Inner| {
                service_fn(move |request: Request<Body>| inner.clone().oneshot(request))
            })),
            WORKS,
        ),
        row("BoxService", Router, buffered(layer_fn(BoxService::new::<Inner>)), WORKS),
        row("BoxCloneService", Router, under(layer_fn(BoxCloneService::new::<Inner>)), WORKS),
        row(
            "BoxCloneSyncService",
            Router,
            under(layer_fn(BoxCloneSyncService::new::<Inner>)),
            WORKS,
        ),
        row("BoxLayer", Router, buffered(boxed_layer()), WORKS),
        row(
            "BoxCloneServiceLayer",
            Router,
            under(BoxCloneServiceLayer::new(TimeoutLayer::new(MINUTE))),
            WORKS,
        ),
        row(
            "BoxCloneSyncServiceLayer",
            Router,
            under(BoxCloneSyncServiceLayer::new(TimeoutLayer::new(MINUTE))),
            WORKS,
        ),
    ]
}

fn boxed_layer() -> BoxLayer<Inner, Request<Body>, Response<Body>, BoxError> {
    BoxLayer::new(TimeoutLayer::new(MINUTE))
}

/// Layers that limit, queue or move the call.
fn limits() -> Vec<Row> {
    vec![
        row("BufferLayer", Limit, under(BufferLayer::new(8)), WORKS),
        row("LoadShedLayer", Limit, under(LoadShedLayer::new()), WORKS),
        row("ConcurrencyLimitLayer", Limit, under(ConcurrencyLimitLayer::new(1)), WORKS),
        row(
            "GlobalConcurrencyLimitLayer",
            Limit,
            under(GlobalConcurrencyLimitLayer::new(1)),
            WORKS,
        ),
        row("RateLimitLayer", Limit, buffered(RateLimitLayer::new(1, MINUTE)), WORKS),
        row("TimeoutLayer", Limit, under(TimeoutLayer::new(MINUTE)), WORKS),
        row("SpawnReadyLayer", Limit, buffered(SpawnReadyLayer::new()), WORKS),
        row("RetryLayer, no clone", Limit, under(RetryLayer::new(Once { clones: false })), WORKS),
        row("RetryLayer, a clone", Limit, under(RetryLayer::new(Once { clones: true })), WORKS),
        row(
            "Hedge, no clone",
            Limit,
            buffered(layer_fn(|inner: Inner| {
                Hedge::new(inner, Once { clones: false }, 1, 0.9, MINUTE)
            })),
            WORKS,
        ),
        row(
            "load shed, concurrency limit, timeout, buffer",
            Limit,
            under(
                ServiceBuilder::new()
                    .load_shed()
                    .concurrency_limit(8)
                    .timeout(MINUTE)
                    .layer(BufferLayer::new(8)),
            ),
            WORKS,
        ),
    ]
}

/// Layers that choose who gets a request.
fn choices() -> Vec<Row> {
    vec![
        row(
            "FilterLayer",
            Gate,
            under(FilterLayer::new(|request: Request<Body>| Ok::<_, BoxError>(request))),
            WORKS,
        ),
        row(
            "AsyncFilterLayer",
            Gate,
            under(AsyncFilterLayer::new(|request: Request<Body>| async {
                tokio::task::yield_now().await;
                Ok::<_, BoxError>(request)
            })),
            WORKS,
        ),
        row(
            "option_layer, some",
            Router,
            under(option_layer(Some(ConcurrencyLimitLayer::new(8)))),
            WORKS,
        ),
        row(
            "option_layer, none",
            Router,
            under(option_layer(None::<ConcurrencyLimitLayer>)),
            WORKS,
        ),
        row(
            "Either",
            Router,
            under(Either::<_, LoadShedLayer>::Left(TimeoutLayer::new(MINUTE))),
            WORKS,
        ),
        row(
            "Steer",
            Router,
            under(layer_fn(|inner: Inner| {
                Steer::new([inner.clone(), inner], |_: &Request<Body>, _: &[Inner]| 1)
            })),
            WORKS,
        ),
        row(
            "Balance",
            Router,
            buffered(layer_fn(|inner: Inner| {
                Balance::new(ServiceList::new::<Request<Body>>([Constant::new(inner, 1)]))
            })),
            WORKS,
        ),
        row(
            "PendingRequests",
            Limit,
            buffered(layer_fn(|inner: Inner| {
                PendingRequests::new(inner, CompleteOnResponse::default())
            })),
            WORKS,
        ),
        row(
            "PeakEwma",
            Limit,
            buffered(layer_fn(|inner: Inner| {
                PeakEwma::new(inner, MINUTE, 1e9, CompleteOnResponse::default())
            })),
            WORKS,
        ),
        row(
            "Reconnect",
            Router,
            Box::new(|subject| {
                let inner = subject.service();
                let connect =
                    service_fn(move |()| future::ready(Ok::<_, Infallible>(inner.clone())));
                app(Buffer::new(Reconnect::new(connect, ()), 8))
            }),
            WORKS,
        ),
        row(
            "future_service",
            Router,
            buffered(layer_fn(|inner: Inner| {
                future_service::<_, _, Request<Body>, _>(Box::pin(async {
                    Ok::<_, Infallible>(inner)
                }))
            })),
            WORKS,
        ),
        row(
            "a service cloned for each request, not awaited ready",
            Router,
            under(layer_fn(|inner: Inner| {
                service_fn(move |request: Request<Body>| {
                    LoadShedLayer::new().layer(inner.clone()).oneshot(request)
                })
            })),
            WORKS,
        ),
    ]
}

/// Is content with the first answer. A clone has the extensions, and no body.
#[derive(Clone, Debug)]
struct Once {
    clones: bool,
}

impl<E> Policy<Request<Body>, Response<Body>, E> for Once {
    type Future = future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        _: &mut Result<Response<Body>, E>,
    ) -> Option<Self::Future> {
        None
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        self.clones.then(|| clone_request(request))
    }
}

impl tower::hedge::Policy<Request<Body>> for Once {
    fn clone_request(&self, _: &Request<Body>) -> Option<Request<Body>> {
        None
    }

    fn can_retry(&self, _: &Request<Body>) -> bool {
        self.clones
    }
}
