//! A client that resets the connection.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tower::Layer;

use super::support::*;
use crate::support::*;

/// Fails to read, in this way, once it is told to.
struct Failing {
    io: DuplexStream,
    kind: Arc<OnceLock<io::ErrorKind>>,
}

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.kind.get() {
            Some(&kind) => Poll::Ready(Err(kind.into())),
            None => Pin::new(&mut self.io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Failing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_an_end_and_no_failure() {
    // curl resets connections whose answers it has, every now and then.
    for (kind, failures) in [(io::ErrorKind::ConnectionReset, 0), (io::ErrorKind::Other, 1)] {
        let log = Log::default();
        let layer = layer(&log);
        let (client, server) = tokio::io::duplex(1 << 16);
        let told = Arc::default();
        let io = TokioIo::new(Failing { io: server, kind: Arc::clone(&told) });
        let service = TowerToHyperService::new(layer.layer(http1(app(&log))));
        let connection = http1::Builder::new().serve_connection(io, service).with_upgrades();
        let mut client = Client::to(Wire::of(client, connection), log);
        assert_eq!(client.upgrade(get(&offer())).await, ANSWERED);
        told.set(kind).unwrap();
        client.exchange(preface()).await;
        assert!(client.ended);
        assert_eq!(client.log.count("failed h2c Handler"), failures, "{:?}", client.log);
        let stats = layer.connections().stats();
        assert_eq!((stats.active, stats.switched, stats.failed), (0, 1, failures as u64));
    }
}
