//! HTTP/2 on one port, by upgrade and by prior knowledge, by this crate.

use std::convert::Infallible;

use http::{Request, Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_upgrade::{
    UpgradeLayer,
    h2c::{H2c, RequestBody, RequestBodyLayer},
};

use crate::{Result, hyper::plain};

pub(crate) async fn serve(listener: TcpListener) -> Result<()> {
    let app =
        service_fn(|_: Request<RequestBody>| async { Ok::<Response<_>, Infallible>(plain()) });
    let layer = UpgradeLayer::new().on("h2c", H2c::new(app));
    let service = TowerToHyperService::new(layer.layer(RequestBodyLayer::new().layer(app)));
    loop {
        let (io, _) = listener.accept().await?;
        io.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that goes away in the middle ends its connection only.
            server.serve_connection_with_upgrades(TokioIo::new(io), service).await.ok();
        });
    }
}
