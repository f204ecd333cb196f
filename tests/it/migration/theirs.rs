//! A chat by axum's own `WebSocketUpgrade`.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{
        ConnectInfo, Path, Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::any,
};

use super::{App, User, session};

pub(super) fn app(app: App) -> Router {
    Router::new().route("/rooms/{room}", any(chat)).with_state(app)
}

async fn chat(
    ws: WebSocketUpgrade,
    Path(room): Path<String>,
    Query(user): Query<User>,
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    let session = session(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    let whom = app.describe(&room, &user, peer, &session);
    Ok(ws
        .protocols(["chat.v2", "chat.v1"])
        .max_message_size(1024)
        .on_upgrade(move |socket| talk(socket, whom)))
}

async fn talk(mut socket: WebSocket, whom: String) {
    let version = socket.protocol().and_then(|name| name.to_str().ok()).unwrap_or("none");
    let whom = format!("{whom} {version}");
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let answer = Message::text(format!("{whom}: {text}"));
        if let Err(error) = socket.send(answer).await {
            println!("a connection failed: {error}");
            return;
        }
    }
}
