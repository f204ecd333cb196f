//! The subjects that layers are put around, the client on the wire, and the words for its findings.

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
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
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};
use tower::{
    Layer, Service, ServiceExt,
    util::{BoxCloneService, BoxCloneSyncService},
};
use tower_upgrade::{
    BoxError, Switch, UpgradeHandler, UpgradeLayer, Upgraded,
    websocket::{Handshake, WebSocket},
};

/// A service with layers around it.
pub(crate) type App = BoxCloneService<Request<Body>, Response<Body>, BoxError>;

/// The service that the layers are put around. Like axum's `Router`, it takes any request body.
#[derive(Clone, Debug)]
pub(crate) struct Inner(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

/// Puts the layers of a row around a subject.
pub(crate) type Build = Box<dyn Fn(&Subject) -> App>;

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
const PLAIN: &str = "The inner service answers a request that nobody switches with this text, again and again.";

/// A handler writes this first, so that a byte of a handler is recognised wherever it is.
pub(crate) const HANDLER: &str = "HANDLER";

/// The text frame `hi` as a client sends it, under a mask of zeros.
const FRAME: &[u8] = b"\x81\x82\0\0\0\0hi";

/// The same as a server sends it.
const ANSWER: &[u8] = b"\x81\x02hi";

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
        UpgradeLayer::new().on("echo", echo.with_body_limit(64)).on("websocket", websocket)
    }

    /// The subject as a service.
    pub(crate) fn service(&self) -> Inner {
        if self.axum {
            return Inner::new(self.router());
        }
        let service = self.layer().layer(self.plain());
        Inner::new(ServiceExt::<Request<Body>>::map_response(service, IntoAxum::into_axum))
    }

    /// The subject as a router that answers on `/x` and on `/`.
    pub(crate) fn router(&self) -> Router {
        let plain = self.plain();
        if self.axum {
            let switch = any(move |upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>| {
                let plain = plain.clone();
                async move {
                    match upgrade {
                        Ok(upgrade) => upgrade.on_upgrade(|mut socket| async move {
                            while let Some(Ok(message)) = socket.recv().await {
                                socket.send(message).await.ok();
                            }
                        }),
                        Err(_) => plain.oneshot(Request::<Body>::default()).await.into_response(),
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
        Inner::new(tower::service_fn(move |request: Request<Body>| {
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

/// Turns any response into axum's, whose body passes every question on.
trait IntoAxum {
    fn into_axum(self) -> Response<Body>;
}

impl<B> IntoAxum for Response<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn into_axum(self) -> Response<Body> {
        self.map(Body::new)
    }
}

/// Makes all stacks the same type, so that the server is compiled once.
pub(crate) fn app<S, B>(service: S) -> App
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    BoxCloneService::new(service.map_response(IntoAxum::into_axum).map_err(Into::into))
}

/// A row that is one layer around the subject.
pub(crate) fn under<L, B>(layer: L) -> Build
where
    L: Layer<Inner> + 'static,
    L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
    <L::Service as Service<Request<Body>>>::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Box::new(move |subject| app(layer.layer(subject.service())))
}

/// A row that is a layer whose service cannot be cloned: a buffer stands outside.
pub(crate) fn buffered<L, B>(layer: L) -> Build
where
    L: Layer<Inner> + 'static,
    L::Service: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send + Sync,
    <L::Service as Service<Request<Body>>>::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Box::new(move |subject| {
        app(tower::buffer::Buffer::new(layer.layer(subject.service()), 8))
    })
}

/// A row that does something to the router of the subject.
pub(crate) fn routed(change: impl Fn(Router) -> Router + 'static) -> Build {
    Box::new(move |subject| app(change(subject.router())))
}

/// A row that does something to the service of the subject, and has a router in the end.
pub(crate) fn served(change: impl Fn(Inner) -> Router + 'static) -> Build {
    Box::new(move |subject| app(change(subject.service())))
}

/// Whether `UpgradeLayer::outermost()` is around everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Without,
    With,
}

/// The client's end of a connection.
pub(crate) struct Wire(DuplexStream);

impl Wire {
    pub(crate) fn open(column: Column, build: &Build, subject: &Subject) -> Self {
        let app = build(subject).map_request(|request: Request<Incoming>| request.map(Body::new));
        match column {
            Column::Without => Self::serve(app),
            Column::With => Self::serve(outermost(app)),
        }
    }

    fn serve<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send + Sync + 'static,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let (client, server) = tokio::io::duplex(1 << 16);
        let service = TowerToHyperService::new(service);
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades();
        // An error is what a service that fails is meant to cause.
        tokio::spawn(async { connection.await.ok() });
        Self(client)
    }

    /// Sends, and returns what the server sends until every task is idle, and whether it closed.
    pub(crate) async fn exchange(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        // The server may have closed the connection.
        self.0.write_all(bytes).await.ok();
        self.receive().await
    }

    /// Closes the client's side, and returns what the server still sends.
    pub(crate) async fn finish(&mut self) -> Vec<u8> {
        self.0.shutdown().await.ok();
        self.receive().await.0
    }

    async fn receive(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        // Time is paused: it goes on when no task has anything to do.
        while let Ok(read) = timeout(QUIET, self.0.read_buf(&mut bytes)).await {
            if read.unwrap_or(0) == 0 {
                return (bytes, true);
            }
        }
        (bytes, false)
    }
}

/// Longer than any time limit of a row.
const QUIET: Duration = Duration::from_secs(600);

fn outermost(app: impl Service<Request<Incoming>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + Send + 'static) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + Send + 'static {
    app
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is answered, or switched and the protocol spoken, as it should be.
    Works,
    /// It reaches the inner service as if there were no `UpgradeLayer`.
    Forwarded,
    /// The client gets its 101, and then the server closes the connection.
    Eof,
    /// The client gets this status.
    Refused(u16),
    /// The client gets nothing, or nothing behind the 101.
    Hang,
    /// The server closes the connection without an answer.
    Closed,
    /// The client gets other bytes than it should.
    Wrong,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("works"),
            Self::Forwarded => f.write_str("forwarded"),
            Self::Eof => f.write_str("EOF"),
            Self::Refused(status) => write!(f, "refused ({status})"),
            Self::Hang => f.write_str("hang"),
            Self::Closed => f.write_str("closed"),
            Self::Wrong => f.write_str("wrong bytes"),
        }
    }
}

/// The requests of a row, in the order of its cells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exchange {
    /// A GET without an offer.
    Plain,
    /// An upgrade with bytes right after its head.
    Early,
    /// An upgrade with a body of five bytes, and bytes right after it.
    Body,
    /// A WebSocket handshake, and a frame.
    WebSocket,
}

/// Headers that layers want to see.
const COMMON: &str = "Host: a.test\r\nOrigin: http://a.test\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nAuthorization: Bearer token\r\nHX-Request: true\r\n\
    X-Forwarded-For: 127.0.0.1\r\n";

const ECHO: &str = "Connection: upgrade\r\nUpgrade: echo\r\n";

impl Exchange {
    /// What the client sends, what it sends when it has its 101, and what is to come back for both.
    fn script(self) -> (String, &'static [u8], &'static [u8]) {
        let get = format!("GET /x HTTP/1.1\r\n{COMMON}");
        match self {
            Self::Plain => (format!("{get}\r\n"), b"", b""),
            Self::Early => (format!("{get}{ECHO}\r\nearly"), b"late", b"HANDLER[early][late]"),
            Self::Body => (
                format!("POST /x HTTP/1.1\r\n{COMMON}{ECHO}Content-Length: 5\r\n\r\nhelloearly"),
                b"late",
                b"HANDLERhello[early][late]",
            ),
            Self::WebSocket => (
                format!(
                    "{get}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                ),
                FRAME,
                ANSWER,
            ),
        }
    }

    /// Tries it on a connection of its own.
    pub(crate) async fn run(self, column: Column, build: &Build, subject: &Subject) -> Word {
        let (request, late, expected) = self.script();
        let mut wire = Wire::open(column, build, subject);
        let before = subject.counts.plain.load(Ordering::Relaxed);
        let (mut bytes, closed) = wire.exchange(request.as_bytes()).await;
        let Some(status) = status(&bytes) else {
            return if closed { Word::Closed } else { Word::Hang };
        };
        if let Self::Plain = self {
            return if status == 200 { Word::Works } else { Word::Refused(status) };
        }
        if status != 101 {
            let forwarded = subject.counts.plain.load(Ordering::Relaxed) > before;
            return if forwarded { Word::Forwarded } else { Word::Refused(status) };
        }
        let (more, closed_late) = wire.exchange(late).await;
        bytes.extend(more);
        let spoken = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        match spoken.map(|end| &bytes[end + 4..]) {
            Some(spoken) if spoken == expected && !closed_late => Word::Works,
            Some(b"") if closed || closed_late => Word::Eof,
            Some(b"") => Word::Hang,
            _ => Word::Wrong,
        }
    }
}

/// The status of the response that the bytes start with.
pub(crate) fn status(bytes: &[u8]) -> Option<u16> {
    let line = bytes.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

/// What a hostile row is tried with: an offer with bytes behind it, whose client keeps the
/// connection or has it closed.
pub(crate) fn offer(close: bool) -> String {
    let connection = if close { "upgrade, close" } else { "upgrade" };
    format!("GET /x HTTP/1.1\r\n{COMMON}Connection: {connection}\r\nUpgrade: echo\r\n\r\nearly")
}
