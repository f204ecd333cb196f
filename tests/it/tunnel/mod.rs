//! A tunnel between a client and a scripted upstream: the bytes on both wires.

mod carry;
mod connectors;
mod drain;
mod errors;
mod forwarded;
mod http2;
mod leaves;
mod not_a_switch;
mod one_way;
mod sockets;
mod tls;
mod up;
mod websocket;

use std::{error::Error, time::Duration};

use http::request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
    time::timeout,
};
use tower::Layer;
use tower_upgrade::{
    BoxError, Connections, UpgradeError, UpgradeHandler, UpgradeLayer,
    tunnel::{Connect, Tunnel, TunnelError},
};

use crate::support::*;

/// A proxy whose upstream is the test.
pub(crate) struct Proxy {
    pub(crate) layer: UpgradeLayer,
    pub(crate) connections: Connections,
    /// `foo Upstream Closed`: the protocol, and the kinds of both errors.
    pub(crate) failures: Log,
    /// The requests of the inner service.
    pub(crate) inner: Log,
    pipes: Pipes,
    opened: mpsc::UnboundedReceiver<DuplexStream>,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        Self::with(|tunnel| tunnel)
    }

    pub(crate) fn with(set: impl FnOnce(Tunnel<Pipes>) -> Tunnel<Pipes>) -> Self {
        Self::with_buffer(1 << 20, set)
    }

    /// The same with upstreams on pipes that hold at most this many bytes in each direction.
    pub(crate) fn with_buffer(
        bytes: usize,
        set: impl FnOnce(Tunnel<Pipes>) -> Tunnel<Pipes>,
    ) -> Self {
        let (opens, opened) = mpsc::unbounded_channel();
        let failures = Log::default();
        let pipes = Pipes { opens, bytes };
        let layer = layer(set(Tunnel::new(pipes.clone())), &failures);
        let connections = layer.connections();
        Self { layer, connections, failures, inner: Log::default(), pipes, opened }
    }

    /// A tunnel to the same upstream.
    pub(crate) fn tunnel(&self) -> Tunnel<Pipes> {
        Tunnel::new(self.pipes.clone())
    }

    /// A client's connection.
    pub(crate) fn client(&self) -> Wire {
        Wire::serve(self.layer.layer(inner(&self.inner)))
    }

    /// The connection that the tunnel opens next.
    pub(crate) async fn upstream(&mut self) -> Upstream {
        let opened = timeout(QUIET, self.opened.recv()).await;
        Upstream(opened.expect("the tunnel connects").unwrap())
    }

    /// A client that has sent this, and the upstream.
    pub(crate) async fn asked(&mut self, request: impl AsRef<[u8]>) -> (Wire, Upstream) {
        let mut client = self.client();
        client.send(request).await;
        let upstream = self.upstream().await;
        (client, upstream)
    }

    /// A client and an upstream after their switch to `foo`.
    pub(crate) async fn switched(&mut self) -> (Wire, Upstream) {
        let (mut client, mut upstream) = self.asked(get(FOO)).await;
        upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
        upstream.send(switching("foo")).await;
        client.receive().await.is(&switching("foo")).and_is_open();
        (client, upstream)
    }

    /// No connection was opened since the last.
    #[track_caller]
    pub(crate) fn has_not_connected(&mut self) {
        assert!(self.opened.try_recv().is_err(), "the tunnel has connected");
    }

    /// All places are free again, and these were the failures.
    #[track_caller]
    pub(crate) fn is_idle_after(&self, failures: &[&str]) {
        assert_eq!((self.failures.take(), self.connections.active()), (owned(failures), 0));
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// Registers a tunnel.
pub(crate) fn layer<C>(tunnel: Tunnel<C>, failures: &Log) -> UpgradeLayer
where
    C: Connect + Clone,
{
    let failures = failures.clone();
    UpgradeLayer::new()
        .on("websocket", tunnel.clone())
        .on("h2c", tunnel.clone())
        .on("tcp", tunnel.clone().with_body_limit(1 << 20))
        .on("foo/*", tunnel)
        .extended_connect()
        .on_failure(move |error| failures.push(kinds(&error)))
}

fn kinds(error: &UpgradeError) -> String {
    let kinds = format!("{} {:?}", error.protocol(), error.kind());
    match error.source().and_then(|source| source.downcast_ref::<TunnelError>()) {
        Some(tunnel) => format!("{kinds} {:?}", tunnel.kind()),
        None => kinds,
    }
}

/// Opens pipes, whose other ends the test has.
#[derive(Clone)]
pub(crate) struct Pipes {
    opens: mpsc::UnboundedSender<DuplexStream>,
    bytes: usize,
}

impl Connect for Pipes {
    type Io = DuplexStream;

    async fn connect(&self, _head: request::Parts) -> Result<DuplexStream, BoxError> {
        let (ours, theirs) = tokio::io::duplex(self.bytes);
        self.opens.send(theirs)?;
        Ok(ours)
    }
}

/// The upstream's end of a connection.
pub(crate) struct Upstream(pub(crate) DuplexStream);

impl Upstream {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Returns the bytes that come until every task is idle.
    pub(crate) async fn receive(&mut self) -> Received {
        let mut bytes = Vec::new();
        let mut ended = false;
        while let Ok(read) = timeout(QUIET, self.0.read_buf(&mut bytes)).await {
            if read.unwrap_or(0) == 0 {
                ended = true;
                break;
            }
        }
        Received { text: String::from_utf8_lossy(&bytes).into_owned(), ended }
    }

    /// The tunnel has closed its connection, and sent nothing more.
    pub(crate) async fn is_dropped(&mut self) {
        self.receive().await.is("").and_ends();
        // Not only half of it.
        settle().await;
        assert!(self.0.write_all(b"x").await.is_err(), "the connection is open");
    }
}

/// A request as it goes up.
pub(crate) fn up(method_and_target: &str, headers: &str, upgrade: &str) -> String {
    format!(
        "{method_and_target} HTTP/1.1\r\nhost: a.test\r\n{headers}connection: upgrade\r\nupgrade: \
         {upgrade}\r\n\r\n"
    )
}

/// A response of the layer with a text.
pub(crate) fn failed(status: &str, text: &str) -> String {
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: \
         {length}\r\n\r\n{text}\n"
    )
}

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The headers of a WebSocket handshake.
pub(crate) fn websocket(headers: &str) -> String {
    format!(
        "{CU}Upgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: \
         13\r\n{headers}"
    )
}

/// The response if the upstream did not switch.
pub(crate) fn not_switched() -> String {
    failed("502 Bad Gateway", "the upstream did not switch to the protocol that it was asked for")
}
