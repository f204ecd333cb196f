//! warp.

use futures_util::{SinkExt, TryStreamExt};
use tokio::net::TcpListener;
use warp::{Filter, ws::WebSocket};

use crate::Result;

pub(crate) async fn serve(listener: TcpListener) -> Result<()> {
    let plain = warp::path::end().map(|| "plain");
    let websocket = warp::path!("ws")
        .and(warp::ws())
        .map(|ws: warp::ws::Ws| ws.on_upgrade(async |socket| drop(echo(socket).await)));
    warp::serve(plain.or(websocket)).incoming(listener).run().await;
    Ok(())
}

async fn echo(mut socket: WebSocket) -> Result<()> {
    while let Some(message) = socket.try_next().await? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
