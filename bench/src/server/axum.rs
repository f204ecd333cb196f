//! axum's own `WebSocketUpgrade`.

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    routing::{any, get},
    serve::ListenerExt,
};
use tokio::net::TcpListener;

use crate::Result;

pub(crate) async fn serve(listener: TcpListener, small_buffers: bool) -> Result<()> {
    let upgrade = async move |upgrade: WebSocketUpgrade| {
        let upgrade = if small_buffers { upgrade.read_buffer_size(4096) } else { upgrade };
        upgrade.on_upgrade(async |socket| drop(echo(socket).await))
    };
    let app = Router::new().route("/", get(async || "plain")).route("/ws", any(upgrade));
    let listener = listener.tap_io(|io| io.set_nodelay(true).unwrap_or_default());
    Ok(axum::serve(listener, app).await?)
}

async fn echo(mut socket: WebSocket) -> Result<()> {
    while let Some(message) = socket.recv().await {
        let message = message?;
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            socket.send(message).await?;
        }
    }
    Ok(())
}
