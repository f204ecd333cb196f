//! Upstreams that stop reading while they still send.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// A connection whose writes fail once it is `stopped`.
struct OneWay {
    io: DuplexStream,
    stopped: Arc<AtomicBool>,
    kind: io::ErrorKind,
}

impl OneWay {
    fn check(&self) -> io::Result<()> {
        if self.stopped.load(SeqCst) { Err(self.kind.into()) } else { Ok(()) }
    }
}

impl AsyncRead for OneWay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for OneWay {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A tunnel to such an upstream after its switch.
struct Switched {
    client: Wire,
    upstream: Upstream,
    stopped: Arc<AtomicBool>,
    connections: Connections,
    failures: Log,
}

impl Switched {
    async fn new(kind: io::ErrorKind) -> Self {
        let (opens, mut opened) = mpsc::unbounded_channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stopped);
        let tunnel = Tunnel::new(move |_head| {
            let (io, theirs) = tokio::io::duplex(1024);
            opens.send(theirs).unwrap();
            std::future::ready(Ok::<_, io::Error>(OneWay { io, stopped: Arc::clone(&stops), kind }))
        });
        let failures = Log::default();
        let layer = layer(tunnel, &failures);
        let connections = layer.connections();
        // The client's pipe is small, so that bytes that nobody reads block it.
        let mut client = Wire::serve_with_buffer(layer.layer(inner(&Log::default())), 1024);
        client.send(get(FOO)).await;
        let mut upstream = Upstream(opened.recv().await.unwrap());
        upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
        upstream.send(switching("foo")).await;
        client.receive().await.is(&switching("foo")).and_is_open();
        Self { client, upstream, stopped, connections, failures }
    }

    /// The place is free, and nothing failed.
    async fn ends(&self) {
        // The client does not close its side.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!((self.failures.take(), self.connections.active()), (owned(&[]), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_read_on_is_heard_to_its_end() {
    let mut tunnel = Switched::new(io::ErrorKind::BrokenPipe).await;
    tunnel.stopped.store(true, SeqCst);
    for _ in 0..3 {
        // More than any buffer on the way takes.
        let sent = timeout(QUIET, tunnel.client.send("x".repeat(100_000))).await;
        assert!(sent.is_ok(), "the client is blocked");
        tunnel.upstream.send("more").await;
        tunnel.client.receive().await.is("more").and_is_open();
    }
    assert_eq!(tunnel.connections.active(), 1);
    tunnel.upstream.0.shutdown().await.unwrap();
    tunnel.client.receive().await.is("").and_ends();
    tunnel.ends().await;
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_cannot_be_told_of_the_end_is_heard_to_its_own() {
    let mut tunnel = Switched::new(io::ErrorKind::BrokenPipe).await;
    tunnel.stopped.store(true, SeqCst);
    tunnel.client.io.shutdown().await.unwrap();
    for _ in 0..3 {
        settle().await;
        tunnel.upstream.send("more").await;
        tunnel.client.receive().await.is("more").and_is_open();
    }
    tunnel.upstream.0.shutdown().await.unwrap();
    tunnel.client.receive().await.is("").and_ends();
    tunnel.ends().await;
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_has_sent_all_may_reset() {
    let mut tunnel = Switched::new(io::ErrorKind::ConnectionReset).await;
    tunnel.upstream.send("all").await;
    tunnel.upstream.0.shutdown().await.unwrap();
    tunnel.client.receive().await.is("all").and_ends();
    tunnel.stopped.store(true, SeqCst);
    tunnel.client.send("x").await;
    tunnel.ends().await;
}
