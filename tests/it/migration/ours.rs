//! The same chat by `on_inner` and `websocket::Offer`.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{ConnectInfo, Path, Query, State},
    http::{HeaderMap, StatusCode},
    routing::any,
};
use futures_util::{SinkExt, TryStreamExt};
use tokio_websockets::{Error, Limits, Message, ServerBuilder};
use tower_upgrade::{Switch, UpgradeLayer, Upgraded, websocket::Offer};

use super::{App, User, session};

pub(super) fn app(app: App) -> Router {
    let upgrades = UpgradeLayer::new().on_inner("websocket").on_failure(|e| println!("{e:#}"));
    let app = Router::new().route("/rooms/{room}", any(chat)).with_state(app);
    app.layer(upgrades.extended_connect().for_axum()).layer(UpgradeLayer::outermost())
}

async fn chat(
    ws: Offer,
    Path(room): Path<String>,
    Query(user): Query<User>,
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Switch, StatusCode> {
    let session = session(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    let whom = app.describe(&room, &user, peer, &session);
    Ok(ws.subprotocols(["chat.v2", "chat.v1"]).switch(async move |io, agreed| {
        let version = agreed.subprotocol.as_deref().unwrap_or("none");
        talk(io, format!("{whom} {version}")).await
    }))
}

async fn talk(io: Upgraded, whom: String) -> Result<(), Error> {
    let limits = Limits::default().max_payload_len(Some(1024));
    let mut socket = ServerBuilder::new().limits(limits).serve(io);
    while let Some(message) = socket.try_next().await? {
        let Some(text) = message.as_text() else { continue };
        socket.send(Message::text(format!("{whom}: {text}"))).await?;
    }
    Ok(())
}
