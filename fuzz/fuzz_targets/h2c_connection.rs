//! What a client sends on a connection that is upgraded to HTTP/2: no panic, no hang, and a
//! server that starts as it should.
//!
//! The first byte says how the client behaves, the second how much is moved at once, and the
//! rest is what the client sends.
#![no_main]

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tower::{Layer, service_fn};
use tower_upgrade::{
    UpgradeErrorKind, UpgradeLayer,
    h2c::{H2c, RequestBody, RequestBodyLayer},
};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (behaviour, most, bytes) = input;
    // Time is paused: what waits for a timer waits for nothing else.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let received = runtime.block_on(talk(behaviour, most, bytes));
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    assert!(received.starts_with(b"HTTP/1.1 101 "), "{}", received.escape_ascii());
    check_frames(&received[end + 4..], behaviour, bytes);
});

/// The first frame is SETTINGS, and no acknowledgement comes that the client has not asked for.
fn check_frames(mut frames: &[u8], behaviour: u8, sent: &[u8]) {
    let mut acknowledgements = 0;
    let mut is_first = true;
    while let Some(&[a, b, c, kind, flags, ..]) = frames.first_chunk::<9>() {
        assert!(!is_first || (kind == 4 && flags == 0), "frame of type {kind} first");
        acknowledgements += usize::from(kind == 4 && flags == 1);
        is_first = false;
        let len = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        frames = frames.get(len..).unwrap_or_default();
    }
    // As many as there could be SETTINGS frames in what was sent.
    let possible = sent.windows(9).filter(|head| head[3] == 4 && head[4] & 1 == 0).count();
    let possible = possible + usize::from(behaviour & 1 == 1);
    assert!(acknowledgements <= possible, "{acknowledgements} instead of {possible}");
}

async fn talk(behaviour: u8, most: u8, bytes: &[u8]) -> Vec<u8> {
    let app = service_fn(|request: Request<RequestBody>| async {
        let long = request.uri().path() == "/";
        // What a client breaks off is an error here, and not this target's.
        let len = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
        let len = if long { 100_000 } else { len };
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(vec![b'x'; len])))
    });
    let layer = UpgradeLayer::new().on("h2c", H2c::new(app)).on_failure(|error| {
        assert_ne!(error.kind(), UpgradeErrorKind::Panicked, "{error:?}");
    });
    let service = TowerToHyperService::new(layer.layer(RequestBodyLayer::new().layer(app)));
    let (client, server) = tokio::io::duplex(1 << 12);
    let server = Pieces { io: server, most: usize::from(most) + 1 };
    let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    tokio::spawn(connection.with_upgrades());

    let body = if behaviour & 2 == 2 { "0123456789" } else { "" };
    let mut sent = format!(
        "POST /{} HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade, http2-settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAAAK\r\nContent-Length: {}\r\n\r\n{body}",
        if behaviour & 4 == 4 { "x" } else { "" },
        body.len(),
    )
    .into_bytes();
    if behaviour & 1 == 1 {
        sent.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    }
    let (mut reader, mut writer) = tokio::io::split(client);
    let (switched, has_switched) = tokio::sync::oneshot::channel();
    let write = async {
        // The server may have ended the connection over what it was sent.
        let _ = writer.write_all(&sent).await;
        if behaviour & 8 == 8 {
            let _ = writer.write_all(bytes).await;
            let _ = has_switched.await;
        } else {
            let _ = has_switched.await;
            let _ = writer.write_all(bytes).await;
        }
        // hyper and h2 give up what they are at when a client closes its side.
        for _ in 0..behaviour {
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let read = async {
        let mut received = Vec::new();
        while !received.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            assert_ne!(reader.read_buf(&mut received).await.unwrap(), 0, "no answer");
        }
        let _ = switched.send(());
        reader.read_to_end(&mut received).await.unwrap();
        received
    };
    tokio::join!(write, read).1
}

/// Moves at most so many bytes at once.
struct Pieces {
    io: DuplexStream,
    most: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 256];
        let mut piece = ReadBuf::new(&mut bytes[..self.most.min(buf.remaining())]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece))?;
        buf.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = self.most.min(buf.len());
        Pin::new(&mut self.io).poll_write(cx, &buf[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
