//! The inner service and the functions on upgraded connections, which log what they see.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, request};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, upgrade::OnUpgrade};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tower::util::BoxCloneService;
use tower_upgrade::BoxError;

use crate::{
    input::{Delay, Run, Server, Setup},
    runtime::EXPECTED_PANIC,
};

/// The events in a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Inner { head: Head, upgradable: bool, body: Option<(Vec<u8>, Vec<(String, Vec<u8>)>)> },
    Asked { index: usize, head: Head, body: Vec<u8> },
    Ran { protocol: String, uri: String, read: Vec<u8> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub line: String,
    pub uri: String,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    pub fn of(head: &request::Parts) -> Self {
        Self {
            line: format!("{} {:?}", head.method, head.version),
            uri: head.uri.to_string(),
            headers: lines(&head.headers),
        }
    }
}

fn lines(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    pub fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Answers a request that is not upgraded.
pub async fn inner(setup: &Setup, log: &Log, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let upgradable = head.extensions.get::<OnUpgrade>().is_some();
    let body = if setup.inner_reads {
        body.collect().await.ok().map(|body| {
            let trailers = body.trailers().map(lines).unwrap_or_default();
            (body.to_bytes().to_vec(), trailers)
        })
    } else {
        None
    };
    log.push(Event::Inner { head: Head::of(&head), upgradable, body });
    let mut response = Response::new(Full::from("inner"));
    if head.method == Method::CONNECT && head.version == Version::HTTP_2 {
        // A 2xx would open a tunnel.
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

/// The first bytes of every function on an upgraded connection.
pub const MARK: &[u8] = b"<mark of a handler>";

/// Runs on an upgraded connection.
pub async fn talk<T>(
    run: Run,
    log: Log,
    protocol: String,
    uri: String,
    mut io: T,
) -> Result<(), String>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    io.write_all(MARK).await.ok();
    let mut read = Vec::new();
    match run {
        Run::Read => drop(io.read_to_end(&mut read).await),
        Run::Write(hundreds) => {
            io.write_all(&vec![b'w'; usize::from(hundreds) * 100]).await.ok();
            io.read_to_end(&mut read).await.ok();
        }
        Run::Leave | Run::Fail | Run::Panic => {}
    }
    io.write_all(b"<end>").await.ok();
    log.push(Event::Ran { protocol, uri, read });
    match run {
        Run::Fail => Err("as asked".into()),
        Run::Panic => std::panic::panic_any(EXPECTED_PANIC),
        _ => Ok(()),
    }
}

/// Waits as a handler does before it decides.
pub async fn wait(delay: Delay) {
    match delay {
        Delay::None => {}
        Delay::Short => tokio::time::sleep(Duration::from_secs(5)).await,
        Delay::Endless => std::future::pending().await,
    }
}

pub type Boxed = UnsyncBoxBody<Bytes, BoxError>;

/// A service as it is served.
pub type Served = BoxCloneService<Request<Incoming>, Response<Boxed>, Infallible>;

/// Puts any body in a box.
pub fn boxed<B>(body: B) -> Boxed
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// Serves one connection.
pub fn serve<T>(server: Server, io: T, service: Served)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = TokioIo::new(io);
    let service = TowerToHyperService::new(service);
    match server {
        Server::Http1 | Server::HalfClose => {
            let mut builder = http1::Builder::new();
            builder.half_close(server == Server::HalfClose);
            tokio::spawn(builder.serve_connection(io, service).with_upgrades());
        }
        Server::Auto => {
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                builder.serve_connection_with_upgrades(io, service).await.is_ok()
            });
        }
    }
}
