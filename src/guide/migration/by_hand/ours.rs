use std::convert::Infallible;

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{Layer, service_fn};
use tower_upgrade::{Switch, UpgradeLayer};

pub(crate) async fn serve<I>(io: I) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let upgrades = UpgradeLayer::new()
        .on("echo/1", |_request: Request<Bytes>| async { Switch::to(echo) })
        .on_failure(|error| println!("a connection failed: {error:#}"));
    let service = TowerToHyperService::new(upgrades.layer(service_fn(answer)));
    http1::Builder::new().serve_connection(TokioIo::new(io), service).with_upgrades().await
}

async fn answer(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new("plain".into()))
}

async fn echo<I>(io: I) -> std::io::Result<()>
where
    I: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(io);
    tokio::io::copy(&mut reader, &mut writer).await.map(drop)
}
