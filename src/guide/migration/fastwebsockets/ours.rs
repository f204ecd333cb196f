use std::convert::Infallible;

use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocketError};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncRead, AsyncWrite};
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

async fn echo(io: Upgraded, _handshake: Handshake) -> Result<(), WebSocketError> {
    let socket = fastwebsockets::WebSocket::after_handshake(io, Role::Server);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}
