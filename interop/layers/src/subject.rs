//! The services that layers are put around: an `UpgradeLayer`, and axum's own `WebSocketUpgrade`.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    Router,
    body::Body,
    extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    response::IntoResponse,
    routing::any,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_upgrade::{
    BoxError, Switch, UpgradeHandler, UpgradeLayer, Upgraded,
    websocket::{Handshake, WebSocket},
};

/// The service that the layers are put around. Like axum's `Router`, it takes any request body.
#[derive(Clone, Debug)]
pub(crate) struct Inner(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

/// The services under the layers, which count what reaches them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    /// Whether axum's own `WebSocketUpgrade` switches, and not `UpgradeLayer`.
    axum: bool,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Requests that reached the inner service.
    pub(crate) plain: AtomicUsize,
    /// Requests that a handler accepted.
    pub(crate) accepted: AtomicUsize,
    /// Handlers that got the connection.
    pub(crate) ran: AtomicUsize,
}

/// Long enough for a compressor to take an interest.
const PLAIN: &str =
    "The inner service answers a request that nobody switches with this text, again and again.";

/// A handler writes this first, so that a byte of a handler is recognised wherever it is.
pub(crate) const HANDLER: &str = "HANDLER";

/// The text frame `hi` as a client sends it, under a mask of zeros.
pub(crate) const FRAME: &[u8] = b"\x81\x82\0\0\0\0hi";

/// The same as a server sends it.
pub(crate) const ANSWER: &[u8] = b"\x81\x02hi";

impl Inner {
    fn new<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        Self(BoxCloneSyncService::new(service))
    }
}

impl<B> Service<Request<B>> for Inner
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request.map(Body::new))
    }
}

impl Subject {
    pub(crate) fn ours() -> Self {
        Self::default()
    }

    pub(crate) fn reference() -> Self {
        Self { axum: true, ..Self::default() }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The layer with a handler that echoes, and one for WebSocket.
    pub(crate) fn layer(&self) -> UpgradeLayer {
        let (accepted, ran) = (self.counts.clone(), self.counts.clone());
        let echo = move |request: Request<Bytes>| {
            accepted.accepted.fetch_add(1, Ordering::Relaxed);
            let (body, counts) = (request.into_body(), accepted.clone());
            std::future::ready(Switch::to(move |io: Upgraded| echo(io, body, counts)))
        };
        let websocket = WebSocket::new(move |mut io: Upgraded, _: Handshake| {
            ran.ran.fetch_add(1, Ordering::Relaxed);
            async move {
                let mut frame = [0; FRAME.len()];
                io.read_exact(&mut frame).await?;
                io.write_all(if frame == FRAME { ANSWER } else { b"wrong" }).await?;
                io.read_to_end(&mut Vec::new()).await.map(drop)
            }
        });
        UpgradeLayer::new()
            .on("echo", echo.with_body_limit(64))
            .on("websocket", websocket)
            .extended_connect()
    }

    /// The subject as a service.
    pub(crate) fn service(&self) -> Inner {
        if self.axum {
            return Inner::new(self.router());
        }
        let service = self.layer().layer(self.plain());
        Inner::new(ServiceExt::<Request<Body>>::map_response(service, with_axum_body))
    }

    /// The subject as a router that answers on `/x` and on `/`.
    pub(crate) fn router(&self) -> Router {
        let plain = self.plain();
        if self.axum {
            let switch =
                any(move |upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>| {
                    let plain = plain.clone();
                    async move {
                        match upgrade {
                            Ok(upgrade) => upgrade.on_upgrade(|mut socket| async move {
                                while let Some(Ok(message)) = socket.recv().await {
                                    socket.send(message).await.ok();
                                }
                            }),
                            Err(_) => {
                                plain.oneshot(Request::<Body>::default()).await.into_response()
                            }
                        }
                    }
                });
            return Router::new().route("/x", switch.clone()).route("/", switch);
        }
        Router::new()
            .route_service("/x", plain.clone())
            .route_service("/", plain)
            .layer(self.layer())
    }

    fn plain(&self) -> Inner {
        let counts = self.counts.clone();
        Inner::new(service_fn(move |request: Request<Body>| {
            let counts = counts.clone();
            async move {
                counts.plain.fetch_add(1, Ordering::Relaxed);
                request.into_body().collect().await.ok();
                Ok(Response::new(Body::from(PLAIN)))
            }
        }))
    }
}

/// Says which body the request had, and then echoes in brackets.
async fn echo(mut io: Upgraded, body: Bytes, counts: Arc<Counts>) -> std::io::Result<()> {
    counts.ran.fetch_add(1, Ordering::Relaxed);
    io.write_all(HANDLER.as_bytes()).await?;
    io.write_all(&body).await?;
    let mut bytes = Vec::new();
    while io.read_buf(&mut bytes).await? > 0 {
        io.write_all(&[b"[", &*bytes, b"]"].concat()).await?;
        bytes.clear();
    }
    Ok(())
}

/// Makes any body axum's, which passes every question on to it.
pub(crate) fn with_axum_body<B>(response: Response<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    response.map(Body::new)
}
