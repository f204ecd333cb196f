//! Upstreams that fail before they have answered.

use std::{
    future::{Ready, pending, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::*;

const CLOSED: &str = "the upstream closed the connection without an answer";
const RESET: &str = "the connection to the upstream broke before its answer";
const MALFORMED: &str = "the upstream's answer is not HTTP/1.1";
const LATE: &str = "the upstream did not answer within `response_timeout`";

/// A client of a tunnel with this connector has this failure, in so many seconds.
async fn fails<C>(tunnel: Tunnel<C>, status: &str, text: &str, kind: &str) -> u64
where
    C: Connect + Clone,
{
    let failures = Log::default();
    let layer = layer(tunnel, &failures);
    let mut client = Wire::serve(layer.layer(inner(&Log::default())));
    let start = Instant::now();
    client.send(get(FOO)).await;
    let mut first = [0];
    client.io.read_exact(&mut first).await.unwrap();
    let seconds = start.elapsed().as_secs();
    let received = client.receive().await;
    assert_eq!(format!("H{}", received.text), failed(status, text));
    assert!(!received.ended);
    assert_eq!(failures.take(), [format!("foo Upstream {kind}")]);
    assert_eq!(layer.connections().active(), 0);
    // It is HTTP as before.
    client.exchange(get("")).await.is(OK).and_is_open();
    seconds
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_cannot_be_reached_is_a_502() {
    let tunnel = Tunnel::new(|_head| {
        ready(Err::<DuplexStream, _>(io::Error::from(io::ErrorKind::ConnectionRefused)))
    });
    let text = "cannot connect to the upstream";
    assert_eq!(fails(tunnel, "502 Bad Gateway", text, "Connect").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_has_its_causes() {
    let log = Log::default();
    let failures = log.clone();
    let tunnel = Tunnel::new(|_head| {
        ready(Err::<DuplexStream, _>(io::Error::from(io::ErrorKind::ConnectionRefused)))
    });
    let layer = UpgradeLayer::new()
        .on("foo", tunnel)
        .on_failure(move |error| failures.push(describe(&error)));
    Wire::serve(layer.layer(inner(&log))).exchange(get(FOO)).await.starts_with("HTTP/1.1 502");
    let causes = ": cannot connect to the upstream: connection refused";
    let failure = log.take().concat();
    assert!(failure.ends_with(causes), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_come_in_time_is_a_504() {
    let tunnel = Tunnel::new(|_head| pending::<io::Result<DuplexStream>>());
    let text = "connecting to the upstream took longer than `connect_timeout`";
    for (seconds, tunnel) in
        [(3, tunnel.clone()), (1, tunnel.connect_timeout(Duration::from_secs(1)))]
    {
        let took = fails(tunnel, "504 Gateway Timeout", text, "ConnectTimedOut").await;
        assert_eq!(took, seconds);
    }
}

/// The client has this failure when the upstream has sent these bytes, and then closed or not.
async fn fails_after(bytes: impl AsRef<[u8]>, closes: bool, text: &str, kind: &str) {
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
    upstream.0.write_all(bytes.as_ref()).await.ok();
    if closes {
        upstream.0.shutdown().await.unwrap();
    }
    let received = client.receive().await;
    let bytes = &bytes.as_ref()[..bytes.as_ref().len().min(300)];
    assert_eq!(received.text, failed("502 Bad Gateway", text), "{}", bytes.escape_ascii());
    assert!(!received.ended);
    upstream.0.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(upstream.0.write_all(b"x").await.is_err());
    proxy.is_idle_after(&[&format!("foo Upstream {kind}")]);
    client.exchange(get("")).await.is(OK).and_is_open();
    // No second try.
    proxy.has_not_connected();
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_closes_during_the_handshake_is_a_502() {
    let switching = switching("foo");
    for at in 0..switching.len() {
        fails_after(&switching[..at], true, CLOSED, "Closed").await;
    }
    for before in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"] {
        fails_after(before, true, CLOSED, "Closed").await;
    }
    // One that is gone before it was asked.
    let tunnel = Tunnel::new(|_head| ready(Ok::<_, io::Error>(tokio::io::duplex(1).0)));
    let status = "502 Bad Gateway";
    assert_eq!(fails(tunnel, status, CLOSED, "Closed").await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_speak_http_1_is_a_502() {
    let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    let headers = "x: x\r\n".repeat(101);
    for (bytes, closes) in [
        (&b"garbage\r\n\r\n"[..], false),
        (b"\0", false),
        (b"SSH-2.0-OpenSSH_9.9\r\n", false),
        (b"220 mail.test ESMTP\r\n", false),
        // An alert of TLS, and the settings of HTTP/2.
        (b"\x15\x03\x01\x00\x02\x02\x16", true),
        (b"\0\0\0\x04\0\0\0\0\0", false),
        (b"HTTP/2.0 101 Switching Protocols\r\n\r\n", false),
        (b"HTTP/1.2 101 Switching Protocols\r\n\r\n", false),
        (b"HTTP/1.1 1 x\r\n\r\n", false),
        (b"HTTP/1.1 099 x\r\n\r\n", false),
        (b"HTTP/1.1 101 x\r\nConnection\r\n\r\n", false),
        (b"HTTP/1.1 101 x\r\nConnection : upgrade\r\n\r\n", false),
        (b"HTTP/1.1 101 x\r\nUpgrade: foo\r\n \tbar\r\n\r\n", false),
        (b"HTTP/1.1 101 x\r\nx: \0\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false),
        (&endless, false),
        (format!("HTTP/1.1 101 x\r\n{headers}\r\n").as_bytes(), false),
    ] {
        fails_after(bytes, closes, MALFORMED, "Malformed").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_talks_before_it_is_asked_is_a_502() {
    let tunnel = Tunnel::new(|_head| async {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n").await?;
        tokio::spawn(async move { theirs.read_to_end(&mut Vec::new()).await });
        Ok::<_, io::Error>(ours)
    });
    assert_eq!(fails(tunnel, "502 Bad Gateway", MALFORMED, "Malformed").await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_too_slow_is_a_504() {
    for bytes in [
        "",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let mut proxy = Proxy::new();
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        upstream.send(bytes).await;
        tokio::time::sleep(Duration::from_millis(4_900)).await;
        assert_eq!(proxy.connections.active(), 1);
        client.receive().await.is(&failed("504 Gateway Timeout", LATE)).and_is_open();
        upstream.receive().await.is(&up("GET /x", "", "foo")).and_ends();
        upstream.is_dropped().await;
        proxy.is_idle_after(&["foo Upstream ResponseTimedOut"]);
    }
}

#[tokio::test(start_paused = true)]
async fn informational_responses_do_not_extend_the_time() {
    let mut proxy = Proxy::with(|tunnel| tunnel.response_timeout(Duration::from_secs(7)));
    let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
    let start = Instant::now();
    while upstream.0.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(start.elapsed().as_secs(), 7);
    client.receive().await.is(&failed("504 Gateway Timeout", LATE)).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_read_is_a_504() {
    let mut proxy = Proxy::with_buffer(16, |tunnel| tunnel);
    let (mut client, _upstream) = proxy.asked(get(FOO)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.receive().await.is(&failed("504 Gateway Timeout", LATE)).and_is_open();
    proxy.is_idle_after(&["foo Upstream ResponseTimedOut"]);
}

/// Fails to read, or to write.
#[derive(Clone, Copy)]
struct Breaks {
    reading: bool,
}

impl Breaks {
    fn connect(self) -> impl Fn(request::Parts) -> Ready<io::Result<Self>> + Clone {
        move |_head| ready(Ok(self))
    }
}

impl AsyncRead for Breaks {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reading {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Breaks {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.reading { Poll::Ready(Ok(buf.len())) } else { Poll::Ready(Err(reset())) }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

#[tokio::test(start_paused = true)]
async fn an_upstream_whose_connection_breaks_is_a_502() {
    for reading in [true, false] {
        let tunnel = Tunnel::new(Breaks { reading }.connect());
        assert_eq!(fails(tunnel, "502 Bad Gateway", RESET, "Reset").await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_is_a_500() {
    let failures = Log::default();
    let tunnel = Tunnel::new(|_head| async {
        assert!(failed("", "").is_empty(), "no upstream");
        Ok::<_, io::Error>(tokio::io::duplex(1).0)
    });
    let layer = layer(tunnel, &failures);
    let mut client = Wire::serve(layer.layer(inner(&Log::default())));
    let expected = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
    client.exchange(get(FOO)).await.is(expected).and_is_open();
    assert_eq!((failures.take(), layer.connections().active()), (owned(&["foo Panicked"]), 0));
}
