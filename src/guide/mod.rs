//! Guide: pages about one question each, without code of the crate.
//!
//! - [`placement`]: where the layer goes in an axum app, and which requests reach a handler there
//! - [`migration`]: from axum's `WebSocketUpgrade`, line by line
//! - `framing`: framing crates for WebSocket, three lines for each
//! - [`recipes`]: cookies and headers on the 101, a limit for each address, an administrator's page, tonic
//! - [`operating`]: logs and metrics

#[cfg(feature = "websocket")]
pub mod framing;
pub mod migration;
pub mod operating;
pub mod placement;
pub mod recipes;
