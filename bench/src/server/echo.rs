//! The functions on a connection: an echo of messages, by tokio-websockets or tungstenite, and one of bytes.

use futures_util::{Sink, SinkExt, Stream, TryStreamExt};
use hyper_tungstenite::tungstenite::{Error, Message};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_websockets::ServerBuilder;

use crate::Result;

/// Echoes messages by tokio-websockets, until the client ends the connection.
pub(crate) async fn messages(io: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut socket = ServerBuilder::new().serve(io);
    while let Some(message) = socket.try_next().await? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Echoes messages by tungstenite.
pub(crate) async fn tungstenite<S>(mut socket: S) -> Result<()>
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin,
{
    while let Some(message) = socket.try_next().await? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

pub(crate) async fn bytes(io: impl AsyncRead + AsyncWrite) -> Result<()> {
    let (mut reader, mut writer) = tokio::io::split(io);
    tokio::io::copy(&mut reader, &mut writer).await?;
    Ok(())
}
