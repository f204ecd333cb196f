//! Allocations: none for a forwarded request, and a known number for a handshake.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header::UPGRADE};
use http_body_util::Empty;
use hyper::upgrade::OnUpgrade;
use tower::{Layer, Service, service_fn};
use tower_upgrade::{UpgradeHandler, UpgradeLayer};

use crate::support::*;

type Req = Request<Empty<Bytes>>;

/// Counts the allocations from `call` until the future is ready.
fn allocations<S, R, B>(service: &mut S, request: Request<R>) -> u64
where
    S: Service<Request<R>, Response = Response<B>, Error = Infallible>,
{
    let mut response = None;
    let counted = allocation_counter::measure(|| {
        let mut future = pin!(service.call(request));
        if let Poll::Ready(ready) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            response = Some(ready);
        }
    });
    assert_eq!(response.unwrap().unwrap().status(), 200);
    counted.count_total
}

fn request(headers: &[(&'static str, &str)]) -> Req {
    let mut request = Request::new(Empty::new());
    for (name, value) in headers {
        let name = HeaderName::from_static(name);
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    if request.headers().contains_key(UPGRADE) {
        // As hyper does.
        let on_upgrade: OnUpgrade = hyper::upgrade::on(Request::new(()));
        request.extensions_mut().insert(on_upgrade);
    }
    request
}

#[test]
fn a_forwarded_request_costs_no_allocation_above_the_inner_services() {
    let log = Log::default();
    let mut inner = service_fn(|_: Req| async {
        drop(std::hint::black_box(Box::new(1)));
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut service = fixture(&log)
        .on("other/*", echo(&log, "other").when(|head| head.uri.path() == "/other"))
        .layer(inner);

    let mut certain = UpgradeLayer::outermost().layer(service.clone());

    let members = "x/1, ".repeat(64);
    let bytes = "x".repeat(9_000);
    let upgrade = ("connection", "keep-alive, upgrade");
    for headers in [
        &[][..],
        &[upgrade],
        &[("upgrade", "foo")],
        &[upgrade, ("upgrade", "nope")],
        &[upgrade, ("upgrade", "nope/1"), ("upgrade", "bar/1, bar"), ("upgrade", ", ,")],
        &[upgrade, ("upgrade", "other/1, other")],
        &[upgrade, ("upgrade", "foo;void")],
        &[upgrade, ("upgrade", &members)],
        &[upgrade, ("upgrade", &bytes)],
    ] {
        let alone = allocations(&mut inner, request(headers));
        assert_eq!(alone, 1, "the counter counts");
        assert_eq!(allocations(&mut service, request(headers)), alone, "{headers:?}");
        // The token of an offer is one allocation, and its entry in the extensions another.
        let offers = headers.iter().any(|(name, _)| *name == "upgrade");
        let tokens = if offers { 2 } else { 0 };
        assert_eq!(allocations(&mut certain, request(headers)), alone + tokens, "{headers:?}");
    }
}

#[test]
fn a_clone_of_the_service_costs_no_allocation_above_the_inner_services() {
    let service = fixture(&Log::default()).layer(());
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(service.clone())));
    assert_eq!(counted.count_total, 0);
}

/// The same with a subscriber whose level excludes the event.
#[cfg(feature = "tracing")]
#[test]
fn a_declined_request_costs_no_allocation_if_its_log_level_is_off() {
    use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt};

    let inner =
        service_fn(|_: Req| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) });
    let mut service = fixture(&Log::default()).layer(inner);
    let offer = [("connection", "upgrade"), ("upgrade", "nope")];
    let subscriber = tracing_subscriber::registry().with(LevelFilter::INFO);
    tracing::subscriber::with_default(subscriber, || {
        assert_eq!(allocations(&mut service, request(&offer)), 0);
    });
}

/// A router boxes bodies of other types than its own.
#[cfg(feature = "axum")]
#[test]
fn on_a_router_the_layer_for_axum_costs_no_allocation_above_any_other_layer() {
    use axum::{Router, body::Body, routing::get as on_get};
    use tower::util::MapRequestLayer;

    let app = || Router::new().route("/", on_get(|| async { "plain" }));
    let log = Log::default();
    let forwarded = |app: Router| {
        let mut service = app.into_service::<Body>();
        allocations(&mut service, Request::new(Body::empty()))
    };
    // The layer has a size, because axum clones a layer for each request and boxes it if it has one.
    let held = log.clone();
    let any_layer = forwarded(app().layer(MapRequestLayer::new(move |request: Request<Body>| {
        let _ = &held;
        request
    })));
    let ours = forwarded(app().layer(fixture(&log).for_axum()));
    let certain = forwarded(app().layer(UpgradeLayer::outermost().for_axum()));
    assert!(any_layer > 0, "the counter counts");
    assert_eq!((ours, certain), (any_layer, any_layer));
    // A body of another type is boxed.
    assert_eq!(forwarded(app().layer(fixture(&log))), any_layer + 1);
}

#[cfg(feature = "axum")]
#[test]
fn on_a_router_both_layers_cost_less_in_one_call_and_nothing_around_it() {
    use axum::{Router, body::Body, routing::get as on_get};

    let router = || Router::new().route("/", on_get(|| async { "plain" }));
    let ours = || fixture(&Log::default()).for_axum();
    let outermost = || UpgradeLayer::outermost().for_axum();
    let of_router = |router: Router| {
        allocations(&mut router.into_service::<Body>(), Request::new(Body::empty()))
    };
    let without = of_router(router());
    let apart = of_router(router().layer(ours()).layer(outermost()));
    let together = of_router(router().layer((outermost(), ours())));
    let mut around = outermost().layer(ours().layer(router()));
    let around = allocations(&mut around, Request::new(Body::empty()));
    assert_eq!((apart - without, together - without, around - without), (9, 4, 0));
}

/// Counts the allocations of a handshake, from the request to the 101, so that a change shows.
#[cfg(all(feature = "axum", feature = "websocket"))]
#[tokio::test(start_paused = true)]
async fn a_handshake_costs_a_known_number_of_allocations() {
    use axum::{Router, body::Body, routing::any};
    use tower::util::BoxCloneSyncService;
    use tower_upgrade::{
        Switch, Upgraded,
        websocket::{Handshake, Offer, WebSocket},
    };

    type Service = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

    async fn room(ws: Offer) -> Switch {
        ws.switch(async |_io, _agreed| {})
    }

    fn handshake(mut service: Service, upgrade: &'static str) -> u64 {
        let lines = [
            ("host", "a.test"),
            ("connection", "upgrade"),
            ("upgrade", upgrade),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let request = request(&lines).map(|_| Body::empty());
        let mut response = None;
        let counted = allocation_counter::measure(|| {
            let mut future = pin!(service.call(request));
            let waker = Waker::noop();
            if let Poll::Ready(ready) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                response = Some(ready);
            }
        });
        assert_eq!(response.unwrap().unwrap().status(), 101);
        counted.count_total
    }

    let closure = |_: Request<Bytes>| async { Switch::to(|_: Upgraded| async {}) };
    let websocket = WebSocket::new(|_: Upgraded, _: Handshake| async {});
    let by = UpgradeLayer::new().on("foo", closure).on("websocket", websocket).for_axum();
    let inner = UpgradeLayer::new().on_inner("websocket").for_axum();
    let routes = Router::new().route("/", any(room)).with_state::<()>(());
    let service = by.layer(routes.clone());
    let around = inner.layer(routes.clone());
    let inside = routes.layer(inner);
    let counted = [
        ("a closure", BoxCloneSyncService::new(service.clone()), "foo"),
        ("WebSocket", BoxCloneSyncService::new(service), "websocket"),
        ("on_inner around a Router", BoxCloneSyncService::new(around), "websocket"),
        ("on_inner on a Router", BoxCloneSyncService::new(inside), "websocket"),
    ]
    .map(|(name, service, upgrade)| {
        // The first makes room for the list of connections, and for the protocol's count.
        handshake(service.clone(), upgrade);
        // The test itself boxes the service's future.
        (name, handshake(service, upgrade) - 1)
    });
    assert_eq!(
        counted,
        [
            ("a closure", 12),
            ("WebSocket", 14),
            ("on_inner around a Router", 24),
            ("on_inner on a Router", 26),
        ],
    );
}
