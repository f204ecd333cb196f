//! Guide: one question a page.
//!
//! - [`axum`]: a WebSocket in axum, and where the layer goes in a `Router`
//! - [`hyper`]: a whole server on hyper, with a graceful shutdown
//! - [`tonic`]: gRPC and upgrades on one port
//! - `framing`: framing crates for WebSocket, and the settings that matter
//! - [`migration`]: from axum's `WebSocketUpgrade`, from hyper-tungstenite, from fastwebsockets, and from an
//!   upgrade by hand
//! - [`security`]: what is checked by default, what is not, and what shows it
//! - [`operating`]: logs and metrics
//! - [`recipes`]: cookies and headers on the 101, a limit for each address, an administrator's page
//! - [`faq`]: why a client gets a 426, 400, 403, 503, or a 101 and then EOF; nginx; tests; and more

pub mod axum;
pub mod faq;
#[cfg(feature = "websocket")]
pub mod framing;
pub mod hyper;
pub mod migration;
pub mod operating;
pub mod recipes;
pub mod security;
pub mod tonic;
