//! A server of this crate and its clients in one process, joined by pipes, whose costs are counted as it grows.
//!
//! ```text
//! growing idle WHO CONNECTIONS   idle connections: of hyper by hand, of a layer, and so on
//! growing keys KEYS              10,000 idle connections that are limited by key
//! growing registrations          requests to layers with more and more registrations
//! growing headers BYTES          requests with hostile headers of this length
//! growing sockets CONNECTIONS    idle connections over real sockets
//! ```
//!
//! A line of the output is one thing that was counted: see `meter.rs`. `bench growth` runs it, natively and under
//! callgrind.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should stop")]

use std::{alloc::System, env};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

mod headers;
mod idle;
mod meter;
mod pipes;
mod registrations;
mod sockets;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["idle", who, connections] => idle::run(who, connections.parse().unwrap()),
        ["keys", keys] => idle::keys(keys.parse().unwrap()),
        ["registrations"] => registrations::run(),
        ["headers", bytes] => headers::run(bytes.parse().unwrap()),
        ["sockets", connections] => sockets::run(connections.parse().unwrap()),
        _ => panic!("see the first lines of src/growing/main.rs"),
    }
}
