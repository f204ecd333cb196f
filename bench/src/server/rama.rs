//! rama's `UpgradeLayer`.

use std::convert::Infallible;

use rama::{
    Layer,
    extensions::Extensions,
    http::{
        Request, Response, StatusCode,
        header::{CONNECTION, UPGRADE},
        layer::upgrade::{UpgradeLayer, Upgraded},
        server::HttpServer,
        service::web::{Router, response::IntoResponse},
        ws::{
            AsyncWebSocket, Message,
            handshake::server::{WebSocketAcceptor, WebSocketMatcher},
            protocol::Role,
        },
    },
    matcher::Matcher,
    service::service_fn,
    tcp::server::TcpListener,
};

use crate::{Result, echo};

pub(crate) async fn serve(listener: tokio::net::TcpListener) -> Result<()> {
    let layer = UpgradeLayer::new(
        WebSocketMatcher::new(),
        WebSocketAcceptor::new(),
        service_fn(async |io: Upgraded| {
            messages(io).await.ok();
            Ok::<_, Infallible>(())
        }),
    )
    .on(
        Raw,
        service_fn(switch),
        service_fn(async |io: Upgraded| {
            echo::bytes(io).await.ok();
            Ok::<_, Infallible>(())
        }),
    );
    let app = Router::new().with_get("/", "plain");
    let server = HttpServer::http1().service(layer.into_layer(app));
    TcpListener::from(listener).serve(server).await;
    Ok(())
}

#[derive(Clone, Debug)]
struct Raw;

impl Matcher<Request> for Raw {
    fn matches(&self, _: Option<&mut Extensions>, request: &Request) -> bool {
        request.headers().get(UPGRADE).is_some_and(|upgrade| upgrade == "echo/1")
    }
}

async fn switch(request: Request) -> Result<(Response, Request), Response> {
    let headers = [(CONNECTION, "upgrade"), (UPGRADE, "echo/1")];
    Ok(((StatusCode::SWITCHING_PROTOCOLS, headers).into_response(), request))
}

async fn messages(io: Upgraded) -> Result<()> {
    let mut socket = AsyncWebSocket::from_raw_socket(io, Role::Server, None).await;
    loop {
        match socket.recv_message().await? {
            message @ (Message::Text(_) | Message::Binary(_)) => {
                socket.send_message(message).await?
            }
            _ => {}
        }
    }
}
