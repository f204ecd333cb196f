//! A server with layers on one end of a pipe, a client on the other end, and the words for outcomes.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use axum::{Router, body::Body, response::IntoResponse};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_upgrade::{BoxError, UpgradeLayer};

use crate::subject::{ANSWER, FRAME, Inner, Subject, with_axum_body};

/// A service with layers around it.
pub(crate) type App = BoxCloneService<Request<Body>, Response<Body>, BoxError>;

/// Puts the layers of a row around a subject.
pub(crate) type Build = Box<dyn Fn(&Subject) -> App>;

/// Boxes a stack, so that the server is compiled once and not for each row.
pub(crate) fn app<S, B>(service: S) -> App
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    BoxCloneService::new(service.map_response(with_axum_body).map_err(Into::into))
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
    Box::new(move |subject| app(tower::buffer::Buffer::new(layer.layer(subject.service()), 8)))
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
    /// It is, as the last layer of a `Router`.
    OnRouter,
}

impl Column {
    pub(crate) const ALL: [Self; 3] = [Self::Without, Self::With, Self::OnRouter];
}

/// The client's end of a connection.
struct Wire(DuplexStream);

impl Wire {
    fn open(column: Column, build: &Build, subject: &Subject) -> Self {
        let app = build(subject);
        match column {
            Column::Without => Self::serve(any_request_body(app)),
            Column::With => Self::serve(UpgradeLayer::outermost().layer(any_request_body(app))),
            Column::OnRouter => {
                // A router wants a service that is `Sync` and does not fail.
                let app = Arc::new(Mutex::new(app));
                let app = service_fn(move |request: Request<Body>| {
                    let app = app.lock().expect("no panic").clone();
                    app.oneshot(request).map(|result| {
                        let failed = |_| StatusCode::INTERNAL_SERVER_ERROR.into_response();
                        Ok::<_, Infallible>(result.unwrap_or_else(failed))
                    })
                });
                Self::serve(Router::new().fallback_service(app).layer(UpgradeLayer::outermost()))
            }
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
    async fn exchange(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        // The server may have closed the connection.
        self.0.write_all(bytes).await.ok();
        self.receive(QUIET).await
    }

    async fn receive(&mut self, quiet: Duration) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        // Time is paused: it goes on when no task has anything to do.
        while let Ok(read) = timeout(quiet, self.0.read_buf(&mut bytes)).await {
            if read.unwrap_or(0) == 0 {
                return (bytes, true);
            }
        }
        (bytes, false)
    }
}

/// Takes the body that hyper makes.
pub(crate) fn any_request_body(
    app: App,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = BoxError, Future: Send>
+ Clone
+ Send {
    app.map_request(|request: Request<Incoming>| request.map(Body::new))
}

/// Longer than any time limit of a row.
pub(crate) const QUIET: Duration = Duration::from_mins(10);

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The client gets its answer, or its 101 and then exactly the bytes of the protocol.
    Works,
    /// The inner service answers, as if there were no `UpgradeLayer`.
    Forwarded,
    /// The client gets its 101, and then the server closes the connection.
    Eof,
    /// The client gets this status from a layer.
    Refused(u16),
    /// The connection stays open, and the client gets nothing, or nothing after the 101.
    Hang,
    /// The server closes the connection without an answer.
    Closed,
    /// The client gets exactly the bytes of the protocol, after a 101 that lacks a header or has one
    /// too many.
    Malformed,
    /// The client gets other bytes than those of the protocol.
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
            Self::Malformed => f.write_str("malformed 101"),
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
pub(crate) const COMMON: &str = "Host: a.test\r\nOrigin: http://a.test\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nAuthorization: Bearer token\r\nHX-Request: true\r\n\
    X-Forwarded-For: 127.0.0.1\r\n";

const ECHO: &str = "Connection: upgrade\r\nUpgrade: echo\r\n";

impl Exchange {
    /// Returns the request, the bytes that follow the 101, and the bytes that both are answered with.
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
        let before = subject.counts().plain.load(Ordering::Relaxed);
        let (mut bytes, closed) = wire.exchange(request.as_bytes()).await;
        let Some(status) = status(&bytes) else {
            return if closed { Word::Closed } else { Word::Hang };
        };
        if let Self::Plain = self {
            return if status == 200 { Word::Works } else { Word::Refused(status) };
        }
        if status != 101 {
            let forwarded = subject.counts().plain.load(Ordering::Relaxed) > before;
            return if forwarded { Word::Forwarded } else { Word::Refused(status) };
        }
        let (more, closed_late) = wire.exchange(late).await;
        bytes.extend(more);
        let end =
            bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(bytes.len() - 4);
        let (head, spoken) = bytes.split_at(end + 4);
        match spoken {
            _ if spoken == expected && !closed_late && is_switch(head) => Word::Works,
            _ if spoken == expected && !closed_late => Word::Malformed,
            b"" if closed || closed_late => Word::Eof,
            b"" => Word::Hang,
            _ => Word::Wrong,
        }
    }
}

/// Whether a 101 has the headers of RFC 9110 §7.8, and no framing.
fn is_switch(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let values = |name: &'static str| {
        head.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    values("upgrade").count() == 1
        && values("connection").any(|value| value.split(", ").any(|option| option == "upgrade"))
        && values("content-length").chain(values("transfer-encoding")).next().is_none()
}

/// The status of the response that the bytes start with.
pub(crate) fn status(bytes: &[u8]) -> Option<u16> {
    let line = bytes.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

/// Clients of a hostile stack, which all offer an upgrade.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// Sends bytes right after its request.
    TalksOn,
    /// Closes its side when it has the answer.
    Leaves,
    /// Wants the connection closed, and sends bytes right after its request.
    Closes,
}

impl Client {
    pub(crate) const ALL: [Self; 3] = [Self::TalksOn, Self::Leaves, Self::Closes];

    /// Returns all that the server sends.
    pub(crate) async fn run(self, column: Column, build: &Build, subject: &Subject) -> Vec<u8> {
        let (connection, early) = match self {
            Self::TalksOn => ("upgrade", "early"),
            Self::Leaves => ("upgrade", ""),
            Self::Closes => ("upgrade, close", "early"),
        };
        let mut wire = Wire::open(column, build, subject);
        let request = format!(
            "GET /x HTTP/1.1\r\n{COMMON}Connection: {connection}\r\nUpgrade: echo\r\n\r\n{early}"
        );
        wire.0.write_all(request.as_bytes()).await.ok();
        // Before the handshake is over, so that a handler still could run.
        let (mut bytes, _) = wire.receive(Duration::from_secs(5)).await;
        wire.0.shutdown().await.ok();
        bytes.extend(wire.receive(QUIET).await.0);
        bytes
    }
}
