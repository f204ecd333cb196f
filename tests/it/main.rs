//! One test binary: the bytes on the wire, and the API for its callers.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

#[cfg(feature = "websocket")]
mod early;
// The tests run the handlers of the example.
#[cfg(feature = "websocket")]
#[path = "../../examples/frames/echo.rs"]
mod echo;

mod allocations;
mod api;
#[cfg(feature = "axum")]
mod axum;
mod body;
mod choice;
mod chunked;
mod close;
mod connections;
mod debug;
mod decisions;
mod extended_connect;
#[cfg(feature = "websocket")]
mod frames;
#[cfg(feature = "metrics")]
mod gauge;
mod guide;
#[cfg(feature = "h2c")]
mod h2c;
mod hidden_bodies;
mod inner;
mod io;
mod length;
mod masque;
#[cfg(all(feature = "axum", feature = "websocket"))]
mod migration;
#[cfg(feature = "websocket")]
mod misuse;
mod model;
mod narrowed;
mod not_a_switch;
#[cfg(all(feature = "tracing", feature = "metrics"))]
mod observed;
mod offers;
mod outermost;
mod peers;
#[cfg(feature = "axum")]
mod placement;
mod places;
mod policies;
mod readiness;
mod rejected;
mod replaced;
mod robustness;
mod security;
mod shutdown;
mod stacking;
mod tls;
mod transparency;
#[cfg(feature = "tunnel")]
mod tunnel;
mod types;
#[cfg(feature = "websocket")]
mod websocket;
