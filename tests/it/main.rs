//! One binary: what goes over the wire, octet for octet, and what a caller of the API sees.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

mod allocations;
mod content;
mod decisions;
#[cfg(feature = "h2c")]
mod h2c;
mod io;
mod offers;
mod readiness;
mod replaced;
mod stacking;
