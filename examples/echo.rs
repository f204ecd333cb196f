//! A hyper server with WebSocket, two protocols of its own, and plain HTTP.
//!
//! - `Upgrade: websocket` echoes messages, at `/ws`, if the feature `websocket` is on.
//! - `Upgrade: echo` echoes bytes, on any path.
//! - `Upgrade: shout/1, shout/2` switches to version 2, which answers in capitals.
//! - Every other request gets `plain`, and at `/required` a 426.
//!
//! It also speaks HTTP/2 by prior knowledge. There, an extended CONNECT asks for the same protocols.
//!
//! Run it, on any address:
//!
//! ```sh
//! cargo run --example echo --all-features -- 127.0.0.1:3000
//! ```
//!
//! Talk to it from another terminal:
//!
//! ```sh
//! curl http://127.0.0.1:3000/
//! curl --include http://127.0.0.1:3000/required
//! (printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: shout/1, shout/2\r\n\r\nhello\n'
//!     sleep 1) | nc 127.0.0.1 3000
//! npx --yes wscat --connect ws://127.0.0.1:3000/ws
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{convert::Infallible, env, error::Error, io, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let layer = messages::register(UpgradeLayer::new())
        .on("echo", |_request: Request<Bytes>| async { Switch::to(echo) })
        .on("shout/2", |_request: Request<Bytes>| async { Switch::to(shout) })
        .on_failure(|error| match error.source() {
            Some(source) => println!("{}: {error}: {source}", error.protocol()),
            None => println!("{}: {error}", error.protocol()),
        })
        .extended_connect();
    let required = layer.clone().required().layer(service_fn(plain));
    let layered = layer.layer(service_fn(plain));
    let service = TowerToHyperService::new(service_fn(move |request: Request<Incoming>| {
        let service = if request.uri().path() == "/required" { &required } else { &layered };
        service.clone().oneshot(request)
    }));

    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // The process is probably out of descriptors, until a connection is closed.
                println!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        // With Nagle's algorithm, a small message waits for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            println!("a connection will be slow: {error}");
        }
        let service = service.clone();
        tokio::spawn(async move {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            // Without it, clients do not send an extended CONNECT.
            builder.http2().enable_connect_protocol();
            let io = TokioIo::new(stream);
            if let Err(error) = builder.serve_connection_with_upgrades(io, service).await {
                println!("a connection ended early: {error}");
            }
        });
    }
}

async fn plain(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::from("plain"));
    // A CONNECT for a protocol that is not registered is forwarded. With a 2xx, its client would take the
    // stream for one of that protocol.
    if request.method() == Method::CONNECT {
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    }
    Ok(response)
}

async fn echo(io: Upgraded) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(io);
    tokio::io::copy(&mut reader, &mut writer).await?;
    reader.unsplit(writer).close().await
}

async fn shout(mut io: Upgraded) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(8 * 1024);
    while io.read_buf(&mut bytes).await? > 0 {
        bytes.make_ascii_uppercase();
        io.write_all(&bytes).await?;
        bytes.clear();
    }
    io.close().await
}

#[cfg(not(feature = "websocket"))]
mod messages {
    pub(super) fn register(layer: super::UpgradeLayer) -> super::UpgradeLayer {
        layer
    }
}

#[cfg(feature = "websocket")]
mod messages {
    use std::time::Duration;

    use futures_util::{SinkExt, TryStreamExt};
    use tokio_websockets::{Error, ServerBuilder, WebSocketStream};
    use tower_upgrade::{UpgradeHandler, UpgradeLayer, Upgraded, websocket::WebSocket};

    pub(super) fn register(layer: UpgradeLayer) -> UpgradeLayer {
        let handler = WebSocket::new(|io, _handshake| echo(io));
        layer.on("websocket", handler.when(|head| head.uri.path() == "/ws"))
    }

    async fn echo(io: Upgraded) -> Result<(), Error> {
        let mut socket = ServerBuilder::new().serve(io);
        let end = echo_until_closed(&mut socket).await;
        // Tells a client which rule it broke, and waits for its close frame.
        let goodbye = async {
            socket.close().await?;
            socket.get_mut().close().await?;
            Ok::<_, Error>(())
        };
        tokio::time::timeout(Duration::from_secs(1), goodbye).await.ok();
        end
    }

    async fn echo_until_closed(socket: &mut WebSocketStream<Upgraded>) -> Result<(), Error> {
        // Reading also answers pings and the client's close frame.
        while let Some(message) = socket.try_next().await? {
            if message.is_text() || message.is_binary() {
                socket.send(message).await?;
            }
        }
        Ok(())
    }
}
