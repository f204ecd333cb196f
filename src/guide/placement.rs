//! Placement: where the layer goes in an axum app, and which requests reach a handler there.
//!
//! | place | a handler given to [`on`](crate::UpgradeLayer::on) is asked for | [`on_inner`](crate::UpgradeLayer::on_inner) switches |
//! |---|---|---|
//! | around a whole `Router`: `axum::serve(listener, layer.for_axum().layer(router).into_make_service())` | every request | what a route says yes to |
//! | `Router::layer` | every request, also for paths without a route | what a route says yes to |
//! | `Router::route_layer` | every method of the paths that have a route | what a route says yes to |
//! | `MethodRouter::layer`, as in `get(page).layer(layer)` | every method of that path, also those that get 405 | what the route says yes to |
//! | `MethodRouter::route_layer` | the methods of that route | what the route says yes to |
//! | `Router::route_service` | every method of that path | what the service says yes to |
//! | `Router::fallback_service` | the paths without a route | what the service says yes to |
//! | on a `Router` that is given to `Router::nest` | the paths below the prefix that have a route; all of them if the nested `Router` has a fallback of its own | what a route says yes to |
//! | `Router::nest_service` | every path below the prefix | what the service says yes to |
//! | on a `Router` that is given to `Router::merge` | what it is asked without merging, and the paths without a route | what a route says yes to |
//!
//! Below `nest`, a handler sees the path without the prefix.
//!
//! `tests/it/placement.rs` in the repository tries each row.
//!
//! # How to choose
//!
//! - For WebSockets on axum routes: `on_inner` and `Router::layer`, once for the whole app. Paths, methods
//!   and extractors stay where they are.
//! - For a handler that answers on one path: `on` with [`when`](crate::UpgradeHandler::when), or its layer
//!   on `route_service`.
//! - For HTTP/2 by upgrade: around the whole `Router`. Behind the routing, the path parameters of the
//!   first request would stand in the extensions of every later one.
//!
//! # The body type
//!
//! `UpgradeLayer::for_axum` has the layer answer with axum's body. Call it for a layer around a whole
//! `Router`, where `axum::serve` needs it. On a `Router` it saves an allocation for each response.
