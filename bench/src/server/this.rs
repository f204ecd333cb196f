//! This crate on hyper, and on axum as its README shows it.

use std::convert::Infallible;

use axum::{
    Router,
    routing::{any, get},
    serve::ListenerExt,
};
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_upgrade::{
    Switch, UpgradeHandler, UpgradeLayer,
    websocket::{Offer, WebSocket},
};

use crate::{
    Result, echo,
    hyper::{accept, plain},
};

pub(crate) async fn on_hyper(listener: TcpListener) -> Result<()> {
    let websocket = WebSocket::new(|io, _agreed| echo::messages(io));
    let layer = UpgradeLayer::new()
        .on("websocket", websocket.when(|head| head.uri.path() == "/ws"))
        .on("echo/1", raw);
    let service = service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(plain()) });
    accept(listener, TowerToHyperService::new(layer.layer(service))).await
}

pub(crate) async fn on_axum(listener: TcpListener) -> Result<()> {
    let upgrades = UpgradeLayer::new().on_inner("websocket").on("echo/1", raw);
    let app = Router::new()
        .route("/", get(async || "plain"))
        .route("/ws", any(async |ws: Offer| ws.switch(|io, _agreed| echo::messages(io))))
        .layer(upgrades.for_axum())
        .layer(UpgradeLayer::outermost());
    let listener = listener.tap_io(|io| io.set_nodelay(true).unwrap_or_default());
    Ok(axum::serve(listener, app).await?)
}

async fn raw(_: Request<Bytes>) -> Switch {
    Switch::to(echo::bytes)
}
