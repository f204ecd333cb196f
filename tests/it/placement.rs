//! In an axum app: which paths and methods reach a handler, for each place where the layer can go. The
//! crate's documentation has the same table.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::{any, get as on_get},
};
use bytes::Bytes;
use tower::Layer;
use tower_upgrade::{Mapped, Protocol, Switch, UpgradeLayer, Upgraded};

use crate::support::*;

/// A page, or a switch where the layer asks the inner service.
async fn page(request: Request<Body>) -> Result<Switch, String> {
    match request.extensions().get::<Protocol<'static>>() {
        Some(_) => Ok(Switch::to(|_io: Upgraded| async {})),
        None => Err(format!("page {}", request.uri())),
    }
}

/// `/room` for GET, and a page of its own for what no route takes.
fn routes() -> Router {
    Router::new().route("/room", on_get(page))
}

/// What a client that offers `foo` gets for GET and POST of a path that a route takes, and for GET of
/// one that none takes: `101`, or another status.
async fn offered(app: Router, prefix: &str) -> [String; 3] {
    let mut statuses = [const { String::new() }; 3];
    for (status, (method, path)) in
        statuses.iter_mut().zip([("GET", "/room"), ("POST", "/room"), ("GET", "/nope")])
    {
        let mut wire = Wire::serve(app.clone());
        let offer = request(&format!("{method} {prefix}{path} HTTP/1.1"), FOO);
        wire.exchange(offer).await.text["HTTP/1.1 ".len()..][..3].clone_into(status);
    }
    statuses
}

/// A place, the prefix of its paths, the app, and what is answered with `on` and with `on_inner`.
type Row = (&'static str, &'static str, Place, [&'static str; 3], [&'static str; 3]);
type Place = fn(UpgradeLayer<Mapped<Body>>) -> Router;

#[tokio::test(start_paused = true)]
async fn each_place_hands_its_own_paths_and_methods_to_a_handler() {
    let log = Log::default();
    let on = UpgradeLayer::new().on("foo", echo(&log, "foo")).for_axum();
    let on_inner = UpgradeLayer::new().on_inner("foo").for_axum();
    let places: [Row; 11] = [
        // Around everything, and on the router: every request.
        (
            "around a router",
            "",
            |layer| Router::new().fallback_service(layer.layer(routes())),
            ["101", "101", "101"],
            ["101", "405", "404"],
        ),
        (
            "Router::layer",
            "",
            |layer| routes().layer(layer),
            ["101", "101", "101"],
            ["101", "405", "404"],
        ),
        // On its routes: every method of their paths.
        (
            "Router::route_layer",
            "",
            |layer| routes().route_layer(layer),
            ["101", "101", "404"],
            ["101", "405", "404"],
        ),
        (
            "MethodRouter::layer",
            "",
            |layer| Router::new().route("/room", on_get(page).layer(layer)),
            ["101", "101", "404"],
            ["101", "405", "404"],
        ),
        (
            "Router::route_service",
            "",
            |layer| Router::new().route_service("/room", layer.layer(any(page))),
            ["101", "101", "404"],
            ["101", "101", "404"],
        ),
        // On the methods of one route.
        (
            "MethodRouter::route_layer",
            "",
            |layer| Router::new().route("/room", on_get(page).route_layer(layer)),
            ["101", "405", "404"],
            ["101", "405", "404"],
        ),
        // On what no route takes.
        (
            "Router::fallback_service",
            "",
            |layer| routes().fallback_service(layer.layer(Router::new())),
            ["200", "405", "101"],
            ["200", "405", "404"],
        ),
        // On a part of the paths. What its routes do not take is the outer router's.
        (
            "Router::nest",
            "/api",
            |layer| Router::new().nest("/api", routes().layer(layer)),
            ["101", "101", "404"],
            ["101", "405", "404"],
        ),
        (
            "Router::nest with a fallback",
            "/api",
            |layer| {
                let nested = routes().fallback(|| async { StatusCode::GONE });
                Router::new().nest("/api", nested.layer(layer))
            },
            ["101", "101", "101"],
            ["101", "405", "410"],
        ),
        (
            "Router::nest_service",
            "/api",
            |layer| Router::new().nest_service("/api", layer.layer(routes())),
            ["101", "101", "101"],
            ["101", "405", "404"],
        ),
        // Merging keeps layers where they are.
        (
            "Router::merge",
            "",
            |layer| Router::new().route("/other", on_get(page)).merge(routes().layer(layer)),
            ["101", "101", "101"],
            ["101", "405", "404"],
        ),
    ];
    for (name, prefix, place, by_handler, by_inner) in places {
        assert_eq!(offered(place(on.clone()), prefix).await, by_handler, "on: {name}");
        assert_eq!(offered(place(on_inner.clone()), prefix).await, by_inner, "on_inner: {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_a_nested_router_sees_the_path_without_the_prefix() {
    let log = Log::default();
    let seen = log.clone();
    let layer = UpgradeLayer::new().on("foo", move |request: Request<Bytes>| {
        seen.push(format!("asked {}", request.uri()));
        async { Switch::to(|_io: Upgraded| async {}) }
    });
    let app = Router::new().nest("/api", routes().layer(layer));
    let mut wire = Wire::serve(app);
    wire.exchange(request("GET /api/room HTTP/1.1", FOO)).await.is(&switching("foo"));
    assert_eq!(log.take(), ["asked /room"]);
}
