//! One binary: what goes over the wire, octet for octet, and what a caller of the API sees.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

mod offers;
mod replaced;
