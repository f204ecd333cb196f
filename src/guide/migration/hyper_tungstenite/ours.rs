use std::convert::Infallible;

use futures_util::{SinkExt, TryStreamExt};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, protocol::Role},
};
use tower::{Layer, service_fn};
use tower_upgrade::{
    UpgradeHandler, UpgradeLayer, Upgraded,
    websocket::{Handshake, WebSocket},
};

pub(crate) async fn serve<I>(io: I) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let upgrades = UpgradeLayer::new()
        .on("websocket", WebSocket::new(echo).when(|head| head.uri.path() == "/echo"))
        .on_failure(|error| println!("a connection failed: {error:#}"));
    let service = TowerToHyperService::new(upgrades.layer(service_fn(answer)));
    http1::Builder::new().serve_connection(TokioIo::new(io), service).with_upgrades().await
}

async fn answer(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new("plain".into()))
}

async fn echo(io: Upgraded, _handshake: Handshake) -> Result<(), Error> {
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    while let Some(message) = socket.try_next().await? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
