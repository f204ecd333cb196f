//! The WebSocket handlers: they echo messages, and one of them hears when it is to end.

use std::pin::pin;

use futures_util::{SinkExt, TryStreamExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tower_upgrade::{Upgraded, websocket::Handshake};

/// Echoes until the client closes or the drain begins.
pub(crate) async fn polite(io: Upgraded, _: Handshake) -> Result<(), Error> {
    let mut draining = pin!(io.draining());
    let mut socket = serve(io).await;
    loop {
        tokio::select! {
            message = socket.try_next() => match message? {
                Some(Message::Close(_)) => break,
                Some(message) => echo(&mut socket, message).await?,
                None => return Ok(()),
            },
            () = &mut draining => {
                let farewell = CloseFrame { code: CloseCode::Away, reason: "restarting".into() };
                socket.close(Some(farewell)).await?;
                break;
            }
        }
    }
    // Reading sends the answer to the client's close frame, or waits for the client's answer.
    while socket.try_next().await?.is_some() {}
    socket.get_mut().close().await?;
    Ok(())
}

/// Echoes until the client closes, whatever happens.
pub(crate) async fn stuck(io: Upgraded, _: Handshake) -> Result<(), Error> {
    let mut socket = serve(io).await;
    while let Some(message) = socket.try_next().await? {
        echo(&mut socket, message).await?;
    }
    Ok(())
}

async fn serve(io: Upgraded) -> WebSocketStream<Upgraded> {
    // The default buffer of 128 KiB would be most of what an idle connection costs.
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024);
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

/// Sends a message back. Pings and close frames are answered by reading.
async fn echo(socket: &mut WebSocketStream<Upgraded>, message: Message) -> Result<(), Error> {
    if message.is_text() || message.is_binary() {
        socket.send(message).await?;
    }
    Ok(())
}
