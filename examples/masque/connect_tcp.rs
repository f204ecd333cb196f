//! A proxy for TCP: `connect-tcp` (draft-ietf-httpbis-connect-tcp), over HTTP/1.1 by `Upgrade` and over
//! HTTP/2 by extended CONNECT, with the same handler.
//!
//! - The target is in the path: `/.well-known/masque/tcp/{target_host}/{target_port}/`.
//! - The proxy connects before it answers. The client gets a 101 or a 200, or a response whose
//!   `Proxy-Status` says what went wrong.
//! - Bytes travel in `DATA` capsules. `FINAL_DATA` stands for FIN, so each side can end before the other.
//! - Clients reach loopback addresses only, or the addresses that further arguments list.
//!
//! Run it:
//!
//! ```sh
//! cargo run --example connect_tcp -- 127.0.0.1:3000
//! ```
//!
//! Have it talk to itself. The first capsule has the type `DATA`, 27 bytes, and a request; the second one is
//! `FINAL_DATA`:
//!
//! ```sh
//! (printf 'GET /.well-known/masque/tcp/127.0.0.1/3000/ HTTP/1.1\r\nHost: localhost\r\n'
//!     printf 'Connection: upgrade\r\nUpgrade: connect-tcp\r\nCapsule-Protocol: ?1\r\n\r\n'
//!     sleep 1; printf '\240\50\327\360\33GET / HTTP/1.1\r\nHost: a\r\n\r\n'
//!     sleep 1; printf '\240\50\327\361\0') | nc 127.0.0.1 3000
//! ```
//!
//! # Which draft
//!
//! The rules are those of version 08, as the working group's repository has them; 09 has the same capsules.
//! A later version was approved in October 2026, and its text was not at hand. The types of the two
//! capsules, `0x2028d7f0` and `0x2028d7f1`, are the provisional ones of those versions. Expect others in
//! the RFC, because the working group was asked for types of one byte (httpwg/http-extensions#3499). The
//! token is `connect-tcp`, without the number of a draft.
//!
//! Two recommendations cannot be followed on hyper. A request without a body gets no `100 Continue`. And a
//! tunnel that breaks off ends a stream of HTTP/2 without `FINAL_DATA`, but with `END_STREAM` instead of
//! `RST_STREAM`.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

mod capsule;
mod elsewhere;
mod proxy;
mod server;
mod target;
mod tcp;

use tower_upgrade::{BoxError, UpgradeLayer};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    server::serve(|proxy| UpgradeLayer::new().on("connect-tcp", tcp::handler(proxy))).await
}
