//! The handler, once for each framing crate. Each gets the connection as it is after the
//! handshake, with what was read ahead still to be read, and is told that it is the server.

use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
use futures_util::{SinkExt, TryStreamExt};
use tokio_tungstenite::{WebSocketStream, tungstenite};
use tower_upgrade::{Upgraded, websocket::Handshake};

pub(crate) async fn tungstenite(io: Upgraded, _: Handshake) -> Result<(), tungstenite::Error> {
    let role = tungstenite::protocol::Role::Server;
    let mut socket = WebSocketStream::from_raw_socket(io, role, None).await;
    // It answers pings and the closing handshake by itself, as long as it is read from.
    while let Some(message) = socket.try_next().await? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

pub(crate) async fn tokio_websockets(
    io: Upgraded,
    _: Handshake,
) -> Result<(), tokio_websockets::Error> {
    let mut socket = tokio_websockets::ServerBuilder::new().serve(io);
    // So does this one, which also tells the peer why it gives up on it.
    while let Some(message) = socket.try_next().await? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

pub(crate) async fn fastwebsockets(io: Upgraded, _: Handshake) -> Result<(), WebSocketError> {
    let role = fastwebsockets::Role::Server;
    // Without the collector a fragment is handed over like a message.
    let mut socket = FragmentCollector::new(fastwebsockets::WebSocket::after_handshake(io, role));
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}
