//! The instructions of a server with this crate and of one without it, for a tool like callgrind.
//!
//! `benches/instructions.sh` runs all comparisons and prints a table. One run of this program serves one
//! side of one of them:
//!
//! ```sh
//! instructions (handshake | websocket | message | request | offer | axum) (without | layer | outermost) TIMES
//! instructions places (without | apart | together | around) TIMES
//! ```
//!
//! The client runs in the same program, and is the same on both sides, so that only differences count.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should stop")]

use std::{
    convert::Infallible,
    env,
    future::Future,
    io,
    task::{Context, Poll},
};

use axum::{Router, routing::get};
use bytes::Bytes;
use fastwebsockets::{Role, WebSocket as Frames, WebSocketError};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use http_body::Body;
use http_body_util::{Empty, Full};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tower::{Layer, Service, layer::layer_fn, service_fn};
use tower_upgrade::{
    BoxError, Switch, UpgradeLayer, Upgraded,
    websocket::{Handshake, WebSocket},
};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [what, side, times] = &args[..] else { return };
    let times = times.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let plain = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        });
        let layer = UpgradeLayer::new()
            .on("echo", |_: Request<Bytes>| async { Switch::to(|io: Upgraded| echo(io)) })
            .on(
                "websocket",
                WebSocket::new(|io: Upgraded, _: Handshake| {
                    echo_frames(Frames::after_handshake(io, Role::Server))
                }),
            );
        let certain = || UpgradeLayer::outermost().layer(layer.layer(plain));
        let client = Client { what, times };
        match (&what[..], &side[..]) {
            ("axum", _) => {
                let app = Router::new().route("/", get(|| async { "ok" }));
                match &side[..] {
                    "without" => client.run(app.layer(layer_fn(Nothing))).await,
                    "layer" => client.run(app.layer(layer.for_axum())).await,
                    _ => {
                        let app = app.layer(layer.for_axum());
                        client.run(UpgradeLayer::outermost().for_axum().layer(app)).await;
                    }
                }
            }
            // Both layers, at the places of `guide::axum`.
            ("places", _) => {
                let app = Router::new().route("/", get(|| async { "ok" }));
                let (layer, outermost) = (layer.for_axum(), UpgradeLayer::outermost().for_axum());
                match &side[..] {
                    "without" => client.run(app).await,
                    "apart" => client.run(app.layer(layer).layer(outermost)).await,
                    "together" => client.run(app.layer((outermost, layer))).await,
                    _ => client.run(outermost.layer(layer.layer(app))).await,
                }
            }
            ("handshake" | "message", "without") => client.run(service_fn(by_hand)).await,
            ("websocket", "without") => client.run(service_fn(by_fastwebsockets)).await,
            (_, "without") => client.run(plain).await,
            (_, "layer") => client.run(layer.layer(plain)).await,
            _ => client.run(certain()).await,
        }
    });
}

struct Client<'a> {
    what: &'a str,
    times: u32,
}

impl Client<'_> {
    /// Does what is to be counted, again and again.
    async fn run<S, B>(&self, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let service = TowerToHyperService::new(service);
        let connect = || {
            let (client, server) = tokio::io::duplex(64 * 1024);
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(server), service.clone())
                .with_upgrades();
            tokio::spawn(connection);
            client
        };
        match self.what {
            "handshake" | "websocket" => {
                let (request, message) = match self.what {
                    "handshake" => (UPGRADE_ECHO, MESSAGE),
                    _ => (UPGRADE_WEBSOCKET, FRAME),
                };
                for _ in 0..self.times {
                    let mut client = connect();
                    exchange(&mut client, request, b"\r\n\r\n").await;
                    exchange(&mut client, message, PAYLOAD).await;
                    drop(client);
                    // The server sees the end.
                    tokio::task::yield_now().await;
                }
            }
            "message" => {
                let mut client = connect();
                exchange(&mut client, UPGRADE_ECHO, b"\r\n\r\n").await;
                for _ in 0..self.times {
                    exchange(&mut client, MESSAGE, PAYLOAD).await;
                }
            }
            _ => {
                let request = if self.what == "offer" { OFFER } else { PLAIN };
                let mut client = connect();
                for _ in 0..self.times {
                    exchange(&mut client, request, b"ok").await;
                }
            }
        }
    }
}

async fn exchange(client: &mut DuplexStream, bytes: &[u8], end: &[u8]) {
    let mut answer = [0; 512];
    client.write_all(bytes).await.unwrap();
    let read = client.read(&mut answer).await.unwrap();
    assert!(answer[..read].ends_with(end));
}

async fn echo(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match io.read(&mut bytes).await? {
            0 => return Ok(()),
            read => io.write_all(&bytes[..read]).await?,
        }
    }
}

async fn echo_frames<S>(mut frames: Frames<S>) -> Result<(), WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        // The client just goes away.
        let Ok(frame) = frames.read_frame().await else { return Ok(()) };
        frames.write_frame(frame).await?;
    }
}

/// An upgrade with hyper alone: no negotiation, no limit, no count.
async fn by_hand(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let on_upgrade = hyper::upgrade::on(&mut request);
    spawn(async move { echo(TokioIo::new(on_upgrade.await?)).await.map_err(BoxError::from) });
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
    Ok(response)
}

async fn by_fastwebsockets(
    mut request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    assert!(fastwebsockets::upgrade::is_upgrade_request(&request));
    let (response, upgrade) = fastwebsockets::upgrade::upgrade(&mut request).unwrap();
    spawn(async move { echo_frames(upgrade.await?).await.map_err(BoxError::from) });
    Ok(response)
}

fn spawn(connection: impl Future<Output = Result<(), BoxError>> + Send + 'static) {
    tokio::spawn(connection);
}

/// A layer that does nothing, with a service of its own.
#[derive(Clone)]
struct Nothing<S>(S);

impl<S, R> Service<R> for Nothing<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n";

/// An offer that no handler takes.
const OFFER: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nUser-Agent: bench\r\n\
    Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
    HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";

const UPGRADE_ECHO: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

const UPGRADE_WEBSOCKET: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const PAYLOAD: &[u8] = b"The sample of 32 bytes: 01234567";

const MESSAGE: &[u8] = PAYLOAD;

/// The payload in a binary frame, masked with zeros.
const FRAME: &[u8] = b"\x82\xa0\0\0\0\0The sample of 32 bytes: 01234567";
