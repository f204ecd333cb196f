//! A proxy for UDP: `connect-udp` (RFC 9298), over HTTP/1.1 by `Upgrade` and over HTTP/2 by extended
//! CONNECT, with the same handler.
//!
//! - The target is in the path: `/.well-known/masque/udp/{target_host}/{target_port}/`.
//! - A name is looked up before the answer. The client gets a 101 or a 200, or a response whose
//!   `Proxy-Status` says what went wrong.
//! - Datagrams travel in capsules (RFC 9297). Datagrams that the client does not take are dropped.
//! - Clients reach loopback addresses only, or the addresses that further arguments list.
//!
//! Run it:
//!
//! ```sh
//! cargo run --example connect_udp -- 127.0.0.1:3000
//! ```
//!
//! Send a datagram to port 5300, and see what comes back. The capsule has type 0, 6 bytes, context 0 and the
//! payload `hello`:
//!
//! ```sh
//! nc -u -l 127.0.0.1 5300 &
//! (printf 'GET /.well-known/masque/udp/127.0.0.1/5300/ HTTP/1.1\r\nHost: localhost\r\n'
//!     printf 'Connection: upgrade\r\nUpgrade: connect-udp\r\nCapsule-Protocol: ?1\r\n\r\n'
//!     sleep 1; printf '\0\6\0hello'; sleep 1) | nc 127.0.0.1 3000
//! ```
//!
//! It has no TLS and no authentication, and it does not set the bit that forbids the fragmentation of IPv4
//! packets, because tokio cannot. Linux sets the bit for datagrams that fit into the MTU of the path.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

mod capsule;
mod elsewhere;
mod proxy;
mod server;
mod target;
mod udp;

use tower_upgrade::{BoxError, UpgradeLayer};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    server::serve(|proxy| UpgradeLayer::new().on("connect-udp", udp::handler(proxy))).await
}
