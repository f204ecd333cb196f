//! Migration from other ways to upgrade: the same server on both sides, and the differences for its clients.
//!
//! - [`axum`]: from axum's `WebSocketUpgrade`
//! - [`hyper_tungstenite`]: from hyper-tungstenite
//! - [`fastwebsockets`]: from the `upgrade` module of fastwebsockets
//! - [`by_hand`]: from `hyper::upgrade::on` and a 101 of your own
//!
//! The code of each page runs in the tests of this crate, on both sides and under the same checks
//! (`tests/it/migration` in the repository). Lines of code, without `use` and blank lines, say little about
//! the difference: both sides are about as long. This is what the crate adds to each of them:
//!
//! - Limits on handshakes, connections and their time: see [limits](crate#limits).
//! - A graceful shutdown that reaches upgraded connections: [`Connections`](crate::Connections).
//! - Errors and panics on connections in one place:
//!   [`on_failure`](crate::UpgradeLayer::on_failure), logs and metrics.
//! - A handler that runs only if its 101 left the server: [layer order](crate#layer-order).
//! - The same handlers over HTTP/2: [`extended_connect`](crate::UpgradeLayer::extended_connect).

#[cfg(all(feature = "axum", feature = "websocket"))]
pub mod axum;
pub mod by_hand;
#[cfg(feature = "websocket")]
pub mod fastwebsockets;
#[cfg(feature = "websocket")]
pub mod hyper_tungstenite;
