//! `Upgraded`: the connection that a handler gets.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tower::Layer;
use tower_upgrade::{Downcast, Switch, UpgradeLayer, Upgraded};

use crate::support::*;

/// A layer whose handler calls `downcast`, sends the bytes that were read ahead in brackets, and then
/// echoes.
fn taking_apart<T>() -> UpgradeLayer
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    UpgradeLayer::new().on("foo", |_request: Request<Bytes>| async {
        Switch::to(|io: Upgraded| async {
            let Ok(Downcast { mut io, read_ahead, protocol, .. }) = io.downcast::<T>() else {
                return Err(io::Error::other("another type"));
            };
            io.write_all(format!("{protocol}[{}]", read_ahead.escape_ascii()).as_bytes()).await?;
            let (mut reader, mut writer) = tokio::io::split(io);
            tokio::io::copy(&mut reader, &mut writer).await.map(drop)
        })
    })
}

#[tokio::test(start_paused = true)]
async fn bytes_sent_early_are_the_first_to_be_read() {
    // P-58, R6455-4.1-wait, H-11: no byte is lost or read as HTTP, wherever they are split.
    let early = b"GET / HTTP/1.1\r\n\r\n\0\xff";
    let bytes = [get(FOO).as_bytes(), early].concat();
    for at in 0..=bytes.len() {
        let log = Log::default();
        let mut wire = connect(&log);
        wire.send(&bytes[..at]).await;
        settle().await;
        wire.send(&bytes[at..]).await;
        settle().await;
        let mut received = Vec::new();
        tokio::time::timeout(std::time::Duration::from_secs(1), wire.io.read_to_end(&mut received))
            .await
            .unwrap_err();
        let head = received.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let mut echoed = received[head..].to_vec();
        echoed.retain(|byte| !b"[]".contains(byte));
        assert_eq!(echoed, early, "split at {at}");
        assert_eq!(log.count("inner"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_client_is_read_to_eof_and_still_gets_its_answer() {
    // KES-09
    let log = Log::default();
    let mut wire = connect(&log);
    wire.exchange(get(FOO)).await.is(&switching("foo"));
    wire.send("NP").await;
    wire.io.shutdown().await.unwrap();
    wire.receive().await.is("[NP]").and_ends();
    assert_eq!(log.take().last().unwrap(), "foo ends");
}

#[tokio::test(start_paused = true)]
async fn downcast_reaches_the_io_behind_http1_builder() {
    let log = Log::default();
    let mut wire = Wire::serve(taking_apart::<DuplexStream>().layer(inner(&log)));
    let expected = switching("foo") + "foo[early]";
    wire.exchange(get(FOO) + "early").await.is(&expected).and_is_open();
    wire.exchange("more").await.is("more");
}

#[tokio::test(start_paused = true)]
async fn downcast_reaches_the_io_behind_the_auto_builder() {
    // The builder reads ahead to find out the version, so the request is split everywhere too.
    let bytes = get(FOO) + "early";
    for at in 0..bytes.len() {
        let (client, server) = tokio::io::duplex(1 << 16);
        let service = taking_apart::<DuplexStream>().layer(inner(&Log::default()));
        let service = TowerToHyperService::new(service);
        let connection = auto::Builder::new(TokioExecutor::new())
            .serve_connection_with_upgrades(TokioIo::new(server), service)
            .into_owned();
        let mut wire = Wire::of(client, connection);
        let received = wire.exchange_split(bytes.as_bytes(), at).await;
        // Bytes that arrive with the end of the request are read ahead.
        let (read_ahead, rest) =
            "early".split_at((at + "early".len()).checked_sub(bytes.len()).unwrap_or(5));
        received.is(&format!("{}foo[{read_ahead}]{rest}", switching("foo")));
    }
}

#[tokio::test]
async fn downcast_reaches_the_socket_behind_axum_serve() {
    let app = axum::Router::new()
        .route("/x", axum::routing::get(|| async { "plain" }))
        .layer(taking_apart::<TcpStream>());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all((get(FOO) + "early").as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert!(received.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{received}");
    assert!(received.ends_with("\r\n\r\nfoo[early]"), "{received}");
    // R9110-8.6-01: axum adds a length to responses that seem to have one.
    assert!(!received.contains("content-length"), "{received}");
}

#[tokio::test(start_paused = true)]
async fn downcast_to_another_type_returns_the_connection_unchanged() {
    let layer = UpgradeLayer::new().on("foo", |_request: Request<Bytes>| async {
        Switch::to(|io: Upgraded| async {
            let mut io = io.downcast::<TcpStream>().unwrap_err();
            assert_eq!(io.protocol().name(), "foo");
            let mut early = [0; 5];
            io.read_exact(&mut early).await?;
            io.write_all(&early).await
        })
    });
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    wire.exchange(get(FOO) + "early").await.is(&(switching("foo") + "early")).and_ends();
}

/// Counts plain and vectored writes.
struct Counting {
    io: DuplexStream,
    writes: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.lock().unwrap().push(1);
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes.lock().unwrap().push(bufs.len());
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        Pin::new(&mut self.io).poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn vectored_writes_arrive_as_one() {
    let layer = UpgradeLayer::new().on("foo", |_request: Request<Bytes>| async {
        Switch::to(|mut io: Upgraded| async move {
            assert!(io.is_write_vectored());
            let written = io.write_vectored(&[IoSlice::new(b"one "), IoSlice::new(b"two")]).await?;
            assert_eq!(written, 7);
            io.flush().await
        })
    });
    let (client, server) = tokio::io::duplex(1 << 16);
    let writes = Arc::new(Mutex::new(Vec::new()));
    let server = Counting { io: server, writes: Arc::clone(&writes) };
    let service = TowerToHyperService::new(layer.layer(inner(&Log::default())));
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades();
    let mut wire = Wire::of(client, connection);
    wire.exchange(get(FOO)).await.is(&(switching("foo") + "one two")).and_ends();
    assert_eq!(writes.lock().unwrap().last(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn with_pipeline_flush_hyper_loses_the_101_if_there_are_early_bytes() {
    // H-17: bare hyper does so too. If this test fails, hyper has changed, and the documentation no
    // longer has to warn of it.
    let log = Log::default();
    for (early, expected) in [("", switching("foo")), ("NP", String::from("[NP]"))] {
        let (client, server) = tokio::io::duplex(1 << 16);
        let service = TowerToHyperService::new(fixture(&log).layer(inner(&log)));
        let connection = http1::Builder::new()
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(server), service)
            .with_upgrades();
        Wire::of(client, connection).exchange(get(FOO) + early).await.is(&expected);
    }
}
