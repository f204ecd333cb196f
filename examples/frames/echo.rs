//! The handler, once for each framing crate. The first lines of each turn an `Upgraded` into the
//! crate's own type, in the role of the server. Bytes the client sent right after its request are
//! the first bytes it reads.

use std::time::Duration;

use fastwebsockets::FragmentCollector;
use futures_util::{SinkExt, TryStreamExt};
use tokio_tungstenite::{WebSocketStream, tungstenite};
use tower_upgrade::{Upgraded, websocket::Handshake};

pub(crate) async fn tungstenite(io: Upgraded, _: Handshake) -> Result<(), tungstenite::Error> {
    let role = tungstenite::protocol::Role::Server;
    // Every read fills a buffer of this size with zeros first: 128 KiB by default.
    let config = tungstenite::protocol::WebSocketConfig::default().read_buffer_size(8 * 1024);
    let mut socket = WebSocketStream::from_raw_socket(io, role, Some(config)).await;
    // Reading also answers pings and the client's close frame.
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
    // Reading also answers pings and the client's close frame.
    while let Some(message) = socket.try_next().await? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

pub(crate) async fn fastwebsockets(
    io: Upgraded,
    _: Handshake,
) -> Result<(), fastwebsockets::WebSocketError> {
    let role = fastwebsockets::Role::Server;
    let socket = fastwebsockets::WebSocket::after_handshake(io, role);
    // Without the collector a fragment is returned like a message.
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            fastwebsockets::OpCode::Text | fastwebsockets::OpCode::Binary => {
                socket.write_frame(frame).await?;
            }
            fastwebsockets::OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}

/// Compresses messages if the handshake agreed to it, see `deflate::agree`.
pub(crate) async fn yawc(io: Upgraded, handshake: Handshake) -> Result<(), yawc::WebSocketError> {
    use yawc::{Frame, OpCode, WebSocketError, close::CloseCode};

    let agreed = handshake.extensions.as_ref().and_then(|agreed| agreed.to_str().ok());
    // A message has to be smaller than this, before and after it is decompressed. By default 1 MiB,
    // and 2 MiB in fragments.
    let options = yawc::Options::default()
        .with_balanced_compression()
        // An empty message must not be compressed: behind another one yawc 0.5 never ends doing so.
        .with_compression_threshold(1)
        .with_limits(32 * 1024 * 1024, 32 * 1024 * 1024);
    let mut socket =
        yawc::WebSocket::from_stream_with_extensions(io, yawc::Role::Server, agreed, options)?;
    loop {
        let frame = match socket.next_frame().await {
            Ok(frame) => frame,
            Err(WebSocketError::ConnectionClosed) => return Ok(()),
            Err(error) => {
                // Most errors queue a close frame, which the next read sends.
                let goodbye = socket.next_frame();
                tokio::time::timeout(Duration::from_secs(1), goodbye).await.ok();
                return Err(error);
            }
        };
        match frame.opcode() {
            // `Options::with_utf8` checks this too, but does not tell the client.
            OpCode::Text if !frame.is_utf8() => {
                socket.send(Frame::close(CloseCode::Invalid, "not UTF-8")).await?;
                return Err(WebSocketError::InvalidUTF8);
            }
            OpCode::Text | OpCode::Binary => socket.send(frame).await?,
            // The next read sends the answer to a ping or a close frame.
            _ => {}
        }
    }
}
