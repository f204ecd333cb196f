//! Migration from other ways to upgrade: the same server on both sides, and the differences for its clients.
//!
//! - [`axum`][axum-page]: from axum's `WebSocketUpgrade`
//! - [`hyper_tungstenite`][tungstenite-page]: from hyper-tungstenite
//! - [`fastwebsockets`][fastwebsockets-page]: from the `upgrade` module of fastwebsockets
//! - [`by_hand`]: from `hyper::upgrade::on` and a 101 of your own
//!
//! The code of each page runs in the tests of this crate, on both sides and under the same checks
//! (`tests/it/migration` in the repository). Both sides are about as long. With this crate, each server also
//! has:
//!
//! - Limits on handshakes, connections and their time: see [limits](crate#limits).
//! - A graceful shutdown that reaches upgraded connections: [`Connections`](crate::Connections).
//! - Errors and panics on connections in one place:
//!   [`on_failure`](crate::UpgradeLayer::on_failure), logs and metrics.
//! - A handler that runs only if its 101 left the server, with `outermost()`: [layer
//!   order](crate#layer-order).
//! - The same handlers over HTTP/2: [`extended_connect`](crate::UpgradeLayer::extended_connect).
//!
#![cfg_attr(all(feature = "axum", feature = "websocket"), doc = "[axum-page]: self::axum")]
#![cfg_attr(not(all(feature = "axum", feature = "websocket")), doc = "[axum-page]: crate#features")]
#![cfg_attr(feature = "websocket", doc = "[tungstenite-page]: self::hyper_tungstenite")]
#![cfg_attr(not(feature = "websocket"), doc = "[tungstenite-page]: crate#features")]
#![cfg_attr(feature = "websocket", doc = "[fastwebsockets-page]: self::fastwebsockets")]
#![cfg_attr(not(feature = "websocket"), doc = "[fastwebsockets-page]: crate#features")]

#[cfg(all(feature = "axum", feature = "websocket"))]
pub mod axum;
pub mod by_hand;
#[cfg(feature = "websocket")]
pub mod fastwebsockets;
#[cfg(feature = "websocket")]
pub mod hyper_tungstenite;
