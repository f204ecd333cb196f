//! A server on one end of a pipe, raw bytes on the other.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, upgrade::OnUpgrade};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::timeout,
};
use tower::{Layer, Service, util::BoxCloneService};
use tower_upgrade::{BoxError, Switch, UpgradeHandler, UpgradeLayer, Upgraded};

/// The events in the server, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    /// Takes all events.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.0.lock().unwrap().iter().any(|logged| logged == event)
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|logged| logged.starts_with(start)).count()
    }
}

/// The client's end of a connection.
pub(crate) struct Wire {
    pub(crate) io: DuplexStream,
    pub(crate) connection: JoinHandle<Result<(), BoxError>>,
}

impl Wire {
    /// Serves one connection, with upgrades.
    pub(crate) fn serve<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send + Sync + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        Self::serve_with_buffer(service, 1 << 20)
    }

    /// The same on a pipe that holds at most this many bytes in each direction.
    pub(crate) fn serve_with_buffer<S, B>(service: S, bytes: usize) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send + Sync + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let (client, server) = tokio::io::duplex(bytes);
        let service = TowerToHyperService::new(service);
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades();
        Self::of(client, connection)
    }

    /// The client's end of a connection that the future serves.
    pub(crate) fn of<E>(
        io: DuplexStream,
        connection: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Self
    where
        E: Into<BoxError>,
    {
        let connection = tokio::spawn(async { connection.await.map_err(Into::into) });
        Self { io, connection }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Returns the bytes that the server sends. Time is paused, so the wait ends when every task is
    /// idle.
    pub(crate) async fn receive(&mut self) -> Received {
        let (bytes, ended) = self.receive_bytes().await;
        Received { text: without_date(&bytes), ended }
    }

    /// The same, as raw bytes, and whether the server closed its side.
    pub(crate) async fn receive_bytes(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        while let Ok(read) = timeout(QUIET, self.io.read_buf(&mut bytes)).await {
            if read.unwrap_or(0) == 0 {
                return (bytes, true);
            }
        }
        (bytes, false)
    }

    pub(crate) async fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> Received {
        self.send(bytes).await;
        self.receive().await
    }

    /// Sends the bytes in two pieces, the second one when the server is done with the first. The server
    /// may have closed the connection by then.
    pub(crate) async fn exchange_split(&mut self, bytes: &[u8], at: usize) -> Received {
        self.send(&bytes[..at]).await;
        settle().await;
        self.io.write_all(&bytes[at..]).await.ok();
        self.receive().await
    }
}

/// Lets every other task run until it is idle.
pub(crate) async fn settle() {
    tokio::time::sleep(QUIET).await;
}

/// Held by a test while it puts a hook for panics before the one that is there.
pub(crate) static HOOK: Mutex<()> = Mutex::new(());

/// Virtual time, shorter than any other wait in the tests.
pub(crate) const QUIET: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// The bytes as text, without `date` headers.
    pub(crate) text: String,
    /// Whether the server closed its side.
    pub(crate) ended: bool,
}

impl Received {
    #[track_caller]
    pub(crate) fn starts_with(&self, start: &str) -> &Self {
        assert!(self.text.starts_with(start), "{self:#?} does not start with {start:?}");
        self
    }

    #[track_caller]
    pub(crate) fn ends_with(&self, end: &str) -> &Self {
        assert!(self.text.ends_with(end), "{self:#?} does not end with {end:?}");
        self
    }

    #[track_caller]
    pub(crate) fn is(&self, text: &str) -> &Self {
        assert_eq!(self.text, text);
        self
    }

    #[track_caller]
    pub(crate) fn and_is_open(&self) -> &Self {
        assert!(!self.ended, "{self:#?} ended");
        self
    }

    #[track_caller]
    pub(crate) fn and_ends(&self) -> &Self {
        assert!(self.ended, "{self:#?} did not end");
        self
    }
}

pub(crate) fn without_date(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: ")).collect()
}

/// A request for `/x` with these headers.
pub(crate) fn get(headers: &str) -> String {
    request("GET /x HTTP/1.1", headers)
}

pub(crate) fn request(request_line: &str, headers: &str) -> String {
    format!("{request_line}\r\nHost: a.test\r\n{headers}\r\n")
}

/// A request that posts `body` to `/x`. The headers have to announce its length.
pub(crate) fn post(headers: &str, body: &str) -> String {
    request("POST /x HTTP/1.1", headers) + body
}

/// The same, with an offer of `foo`.
pub(crate) fn offering(headers: &str, body: &str) -> Vec<u8> {
    post(&format!("{FOO}{headers}"), body).into_bytes()
}

/// The response of the layer if the end of a body is not known.
pub(crate) const BAD_REQUEST: &str =
    "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The 101 of the layer with this `Upgrade` header.
pub(crate) fn switching(upgrade: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {upgrade}\r\n\r\n")
}

/// The response of the inner service.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub(crate) const CU: &str = "Connection: upgrade\r\n";

pub(crate) const FOO: &str = "Connection: upgrade\r\nUpgrade: foo\r\n";

pub(crate) type Inner = BoxCloneService<Request<Incoming>, Response<Full<Bytes>>, Infallible>;

/// Answers `200 ok` once it has read the body. Logs the request as `inner GET /x ""`, and whether it
/// had hyper's `OnUpgrade`.
pub(crate) fn inner(log: &Log) -> Inner {
    let log = log.clone();
    BoxCloneService::new(tower::service_fn(move |request: Request<Incoming>| {
        let log = log.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => {
                    log.push(format!("inner broke: {error}"));
                    return Ok(Response::builder().status(400).body(Full::default()).unwrap());
                }
            };
            let upgradable = head.extensions.get::<OnUpgrade>().is_some();
            log.push(format!(
                "inner {} {} {:?}{}",
                head.method,
                head.uri,
                String::from_utf8_lossy(&body),
                if upgradable { " upgradable" } else { "" },
            ));
            Ok(Response::new(Full::from("ok")))
        }
    }))
}

/// A handler that logs `{name} asked "body"` and `{name} runs {protocol}`. Then it logs the bytes that
/// it reads, and echoes them in brackets.
pub(crate) fn echo(
    log: &Log,
    name: &'static str,
) -> impl Fn(Request<Bytes>) -> std::future::Ready<Switch> + Clone + Send + Sync + 'static {
    let log = log.clone();
    move |request| {
        log.push(format!("{name} asked {:?}", String::from_utf8_lossy(request.body())));
        std::future::ready(Switch::to(echo_run(&log, name)))
    }
}

pub(crate) fn echo_run(
    log: &Log,
    name: &'static str,
) -> impl FnOnce(Upgraded) -> Echoing + Send + 'static {
    let log = log.clone();
    move |mut io: Upgraded| {
        log.push(format!("{name} runs {}", io.protocol()));
        Box::pin(async move {
            let mut bytes = Vec::new();
            while io.read_buf(&mut bytes).await? > 0 {
                log.push(format!("{name} reads {:?}", String::from_utf8_lossy(&bytes)));
                io.write_all(b"[").await?;
                io.write_all(&bytes).await?;
                io.write_all(b"]").await?;
                bytes.clear();
            }
            log.push(format!("{name} ends"));
            Ok(())
        })
    }
}

pub(crate) type Echoing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// The fixture of the requirements: the protocols that every vector may assume.
pub(crate) fn fixture(log: &Log) -> UpgradeLayer {
    let failures = log.clone();
    UpgradeLayer::new()
        .on("websocket", echo(log, "websocket"))
        .on("h2c", echo(log, "h2c"))
        .on("TLS/*", echo(log, "TLS"))
        .on("connect-udp", echo(log, "connect-udp"))
        .on("foo/*", echo(log, "foo"))
        .on("bar/2", echo(log, "bar"))
        .on_failure(move |error| failures.push(describe(&error)))
}

/// `failed foo Handler: text: text of the source`.
pub(crate) fn describe(error: &tower_upgrade::UpgradeError) -> String {
    let mut text = format!("failed {} {:?}: {error}", error.protocol(), error.kind());
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A connection to the fixture around the inner service.
pub(crate) fn connect(log: &Log) -> Wire {
    Wire::serve(fixture(log).layer(inner(log)))
}

/// A layer whose handler for `foo` takes bodies up to this length.
pub(crate) fn layer_with_limit(log: &Log, bytes: usize) -> UpgradeLayer {
    let failures = log.clone();
    UpgradeLayer::new()
        .on("foo/*", echo(log, "foo").with_body_limit(bytes))
        .on_failure(move |error| failures.push(describe(&error)))
}

/// A connection to such a layer around the inner service.
pub(crate) fn connect_with_limit(log: &Log, bytes: usize) -> Wire {
    Wire::serve(layer_with_limit(log, bytes).layer(inner(log)))
}

/// One exchange on a new connection to the fixture.
pub(crate) async fn exchange(bytes: impl AsRef<[u8]>) -> (Received, Log) {
    let log = Log::default();
    let received = connect(&log).exchange(bytes).await;
    (received, log)
}
