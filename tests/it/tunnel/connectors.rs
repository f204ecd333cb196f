//! The ways to an upstream: TCP, a Unix socket, a service, a function; and which protocols take them.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf},
    net::TcpListener,
};
use tower::Service;

use super::*;

async fn ask<C>(tunnel: Tunnel<C>, request: impl AsRef<[u8]>) -> Wire
where
    C: Connect + Clone,
{
    let mut client = Wire::serve(layer(tunnel, &Log::default()).layer(inner(&Log::default())));
    client.send(request).await;
    client
}

/// Reads the request, switches, and says goodbye.
async fn switch_on<Io>(mut io: Io, expected: impl Into<String>)
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let expected = expected.into();
    let mut asked = vec![0; expected.len()];
    io.read_exact(&mut asked).await.unwrap();
    assert_eq!(String::from_utf8(asked).unwrap(), expected);
    io.write_all(switching("foo").as_bytes()).await.unwrap();
    io.write_all(b"goodbye").await.unwrap();
    io.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"bye");
}

async fn is_switched(mut client: Wire) {
    let mut bytes = Vec::new();
    client.send("bye").await;
    client.io.shutdown().await.unwrap();
    client.io.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(without_date(&bytes), switching("foo") + "goodbye");
}

#[tokio::test]
async fn a_url_is_connected_to_over_tcp_and_its_path_comes_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (path, target, expected) in [
        ("", "/x?y", "/x?y"),
        ("/", "/x?y", "/x?y"),
        ("/app", "/x?y", "/app/x?y"),
        ("/app/v1/", "/", "/app/v1/"),
        ("/app", "*", "*"),
    ] {
        for host in ["127.0.0.1", "localhost"] {
            let tunnel = Tunnel::to(&format!("http://{host}:{port}{path}")).unwrap();
            let client = ask(tunnel, request(&format!("OPTIONS {target} HTTP/1.1"), FOO)).await;
            let (io, _) = listener.accept().await.unwrap();
            tokio::join!(
                switch_on(io, up(&format!("OPTIONS {expected}"), "", "foo")),
                is_switched(client)
            );
        }
    }
    let tunnel = Tunnel::to(&format!("http://127.0.0.1:{port}/v2")).unwrap().strip_prefix("/api");
    let client = ask(tunnel, request("GET /api?y HTTP/1.1", FOO)).await;
    tokio::join!(
        switch_on(listener.accept().await.unwrap().0, up("GET /v2/?y", "", "foo")),
        is_switched(client)
    );

    drop(listener);
    let tunnel = Tunnel::to(&format!("http://127.0.0.1:{port}")).unwrap();
    let mut client = ask(tunnel, get(FOO)).await;
    let expected = failed("502 Bad Gateway", "cannot connect to the upstream");
    client.receive().await.is(&expected);
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_an_upstream() {
    let folder = std::env::temp_dir().join(format!("tower-upgrade-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("tunnel.sock");
    let missing = failed("502 Bad Gateway", "cannot connect to the upstream");
    ask(Tunnel::to_unix(&path), get(FOO)).await.receive().await.is(&missing);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let client = ask(Tunnel::to_unix(&path), get(FOO)).await;
    tokio::join!(
        switch_on(listener.accept().await.unwrap().0, up("GET /x", "", "foo")),
        is_switched(client)
    );
    drop(listener);
    ask(Tunnel::to_unix(&path), get(FOO)).await.receive().await.is(&missing);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Has to be ready, and then opens a pipe, unless it is broken.
#[derive(Clone)]
struct Opens {
    log: Log,
    sender: mpsc::UnboundedSender<DuplexStream>,
    is_ready: bool,
    breaks: Option<&'static str>,
}

impl Service<Uri> for Opens {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<DuplexStream>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.breaks == Some("ready") {
            return Poll::Ready(Err(io::ErrorKind::Other.into()));
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        assert!(self.is_ready);
        self.is_ready = false;
        self.log.push(url.to_string());
        if self.breaks == Some("call") {
            return ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        let (ours, theirs) = tokio::io::duplex(1024);
        self.sender.send(theirs).unwrap();
        ready(Ok(TokioIo::new(ours)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_gets_the_url_when_it_is_ready() {
    let (sender, mut opened) = mpsc::unbounded_channel();
    let log = Log::default();
    let mut service = Opens { log: log.clone(), sender, is_ready: false, breaks: None };
    let url = "https://b.test:8443/app";
    for target in ["/x", "/y"] {
        let tunnel = Tunnel::with_connector(url, service.clone()).unwrap();
        let client = ask(tunnel, request(&format!("GET {target} HTTP/1.1"), FOO)).await;
        // The host is the client's.
        let expected = up(&format!("GET /app{target}"), "", "foo");
        tokio::join!(switch_on(opened.recv().await.unwrap(), &expected), is_switched(client));
        assert_eq!(log.take(), [url]);
    }
    for breaks in ["ready", "call"] {
        service.breaks = Some(breaks);
        let tunnel = Tunnel::with_connector(url, service.clone()).unwrap();
        let expected = failed("502 Bad Gateway", "cannot connect to the upstream");
        ask(tunnel, get(FOO)).await.receive().await.is(&expected).and_is_open();
    }
}

/// A pipe that keeps what is written until it is flushed, and takes one piece at a time.
struct Buffered(BufWriter<DuplexStream>);

impl AsyncRead for Buffered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_a_service_is_flushed_and_half_closed() {
    let (sender, mut opened) = mpsc::unbounded_channel();
    let service = tower::service_fn(move |_url: Uri| {
        let (ours, theirs) = tokio::io::duplex(1024);
        sender.send(theirs).unwrap();
        ready(Ok::<_, io::Error>(TokioIo::new(Buffered(BufWriter::new(ours)))))
    });
    let tunnel = Tunnel::with_connector("https://b.test", service).unwrap();
    let mut client = ask(tunnel, get(FOO)).await;
    let mut upstream = Upstream(opened.recv().await.unwrap());
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    upstream.send(switching("foo")).await;
    client.exchange("up").await.is(&switching("foo")).and_is_open();
    upstream.receive().await.is("up").and_is_open();
    client.io.shutdown().await.unwrap();
    upstream.receive().await.is("").and_ends();
    upstream.send("down").await;
    client.receive().await.is("down").and_is_open();
}

#[test]
fn a_prefix_begins_with_a_slash_and_does_not_end_with_one() {
    for prefix in ["", "/", "api", "api/", "/api/"] {
        let strip = || Tunnel::new("connector").strip_prefix(prefix);
        assert!(std::panic::catch_unwind(strip).is_err(), "{prefix}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_gets_the_head_of_the_request() {
    let (sender, mut heads) = mpsc::unbounded_channel();
    let tunnel = Tunnel::new(move |head: request::Parts| {
        sender.send(head).unwrap();
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(switch_on(
            theirs,
            "GET /?y HTTP/1.1\r\nhost: a.test\r\na: b\r\nconnection: \
                                        upgrade\r\nupgrade: foo\r\n\r\n",
        ));
        ready(Ok::<_, Infallible>(ours))
    });
    let client =
        ask(tunnel.strip_prefix("/x"), request("GET /x?y HTTP/1.1", &format!("A: b\r\n{FOO}")))
            .await;
    let head = heads.recv().await.unwrap();
    // As the client sent it.
    assert_eq!((head.method.as_str(), head.uri.to_string()), ("GET", "/x?y".to_owned()));
    assert_eq!(head.headers["a"], "b");
    assert_eq!(head.headers["upgrade"], "foo");
    is_switched(client).await;
}

#[test]
fn urls_that_cannot_be_upstreams_are_errors() {
    for url in [
        "",
        "/",
        "127.0.0.1:9000",
        "a.test",
        "//a.test",
        "http://",
        "http:///x",
        "http://:80",
        "http://user@a.test",
        "http://user:x@a.test/",
        "http://a.test:99999",
        "http://a.test:x",
        "http://a.test/?x",
        "http://a.test\r\n",
        "https://a.test",
        "ws://a.test",
        "ftp://a.test",
        "unix:/x",
    ] {
        let error = Tunnel::to(url).map(drop).unwrap_err();
        let text = format!("`{}", url.escape_debug());
        let error = error.to_string();
        assert!(error.starts_with(&text) && error.contains("` cannot be an upstream: "), "{error}");
    }
    for url in ["http://a.test", "HTTP://A.test:81/x/", "http://[::1]:9000", "http://127.0.0.1"] {
        Tunnel::to(url).map(drop).unwrap();
    }
}

/// An offer of h2c, as an attacker sends it through a tunnel.
const H2C: &str = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";

#[tokio::test(start_paused = true)]
async fn h2c_goes_up_only_if_it_is_registered_by_name() {
    // S-3, SMU-01, SMU-02, HAP-02
    let mut proxy = Proxy::new();
    proxy.layer = UpgradeLayer::new().on("foo/*", proxy.tunnel()).on("websocket", proxy.tunnel());
    for connection in ["Upgrade, HTTP2-Settings", "Upgrade"] {
        let request = get(&format!("Connection: {connection}\r\n{H2C}"));
        proxy.client().exchange(request).await.is(OK).and_is_open();
        proxy.has_not_connected();
        // Behind another protocol, that one alone goes up.
        let request = get(&format!("Connection: {connection}\r\n{H2C}Upgrade: foo\r\n"));
        let (mut client, mut upstream) = proxy.asked(request).await;
        upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
        upstream.send(switching("h2c")).await;
        client.receive().await.is(&not_switched()).and_is_open();
        upstream.is_dropped().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_registered_h2c_goes_up_with_its_settings() {
    // NGH-03
    let mut proxy = Proxy::new();
    let request = get(&format!("Connection: Upgrade, HTTP2-Settings\r\n{H2C}"));
    let (mut client, mut upstream) = proxy.asked(request + "PRI * HTTP/2.0").await;
    let expected = "GET /x HTTP/1.1\r\nhost: a.test\r\nhttp2-settings: \
                    AAMAAABkAARAAAAAAAIAAAAA\r\nconnection: upgrade, http2-settings\r\nupgrade: \
                    h2c\r\n\r\n";
    upstream.receive().await.is(expected).and_is_open();
    upstream.send(switching("h2c") + "\0\0\0\x04").await;
    client.receive().await.is(&(switching("h2c") + "\0\0\0\x04")).and_is_open();
    upstream.receive().await.is("PRI * HTTP/2.0").and_is_open();
}
