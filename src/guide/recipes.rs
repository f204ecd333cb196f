//! Recipes: cookies and headers on the 101, a limit for each address, an administrator's page.
//!
//! # Cookies and headers on the 101
//!
//! [`Switch::header`](crate::Switch::header) adds them. Below
//! [`on_inner`](crate::UpgradeLayer::on_inner), headers that middleware adds to the response get onto the
//! 101 too: CORS, request ids, the cookie of a session.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, header::{HeaderValue, SET_COOKIE}};
//! use tower_upgrade::{Switch, Upgraded};
//!
//! async fn greet(_request: Request<Bytes>) -> Switch {
//!     let cookie = HeaderValue::from_static("seen=1; HttpOnly; SameSite=Strict");
//!     Switch::to(|_io: Upgraded| async {}).header(SET_COOKIE, cookie)
//! }
//! # let _layer = tower_upgrade::UpgradeLayer::new().on("greet/1", greet);
//! ```
//!
//! # A limit for each address
//!
//! [`max_connections_per`](crate::UpgradeLayer::max_connections_per) takes a function from the request's head
//! to a key. Without a proxy in front, the key is the peer's address. Behind a proxy, it is the header that
//! the proxy sets. Do not use a header that clients can set themselves:
//!
//! ```
//! use std::net::IpAddr;
//!
//! use http::{Request, request};
//! use tower_upgrade::UpgradeLayer;
//!
//! /// nginx: `proxy_set_header X-Real-IP $remote_addr;`
//! fn address(head: &request::Parts) -> Option<IpAddr> {
//!     head.headers.get("x-real-ip")?.to_str().ok()?.parse().ok()
//! }
//!
//! let layer = UpgradeLayer::new().on_inner("websocket").max_connections_per(address, 10);
//! # let _ = layer;
//! let (head, ()) = Request::get("/").header("x-real-ip", "192.0.2.1").body(()).unwrap().into_parts();
//! assert_eq!(address(&head), Some(IpAddr::from([192, 0, 2, 1])));
//! ```
//!
//! A request for which the function returns `None` is not limited. To limit all requests without the header
//! together, return one key for them.
//!
//! # An administrator's page
//!
//! [`Connections`](crate::Connections) is cheap to clone: give it to the routes of an administrator.
//!
//! ```
//! use axum::{Router, extract::{Path, State}, http::StatusCode, routing::{delete, get}};
//! use serde::Serialize;
//! use tower_upgrade::Connections;
//!
//! #[derive(Serialize)]
//! struct Row {
//!     id: u64,
//!     path: String,
//!     seconds: u64,
//! }
//!
//! async fn list(State(connections): State<Connections>) -> String {
//!     let rows = connections.list().into_iter().map(|it| {
//!         Row { id: it.id(), path: it.path().to_owned(), seconds: it.age().as_secs() }
//!     });
//!     serde_json::to_string(&rows.collect::<Vec<_>>()).unwrap_or_default()
//! }
//!
//! async fn end(State(connections): State<Connections>, Path(id): Path<u64>) -> StatusCode {
//!     match connections.get(id) {
//!         Some(connection) => {
//!             connection.drain();
//!             StatusCode::ACCEPTED
//!         }
//!         None => StatusCode::NOT_FOUND,
//!     }
//! }
//!
//! let routes: Router = Router::new()
//!     .route("/connections", get(list))
//!     .route("/connections/{id}", delete(end))
//!     .with_state(Connections::new());
//! # let _ = routes;
//! ```
