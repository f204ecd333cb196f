//! One binary: what goes over the wire, octet for octet, and what a caller of the API sees.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

mod allocations;
mod api;
mod content;
mod decisions;
mod io;
#[cfg(all(feature = "tracing", feature = "metrics"))]
mod observed;
mod offers;
mod peers;
mod readiness;
mod refused;
mod replaced;
mod security;
mod stacking;
mod transparency;
#[cfg(feature = "websocket")]
mod websocket;
