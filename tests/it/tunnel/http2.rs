//! An extended CONNECT of HTTP/2 becomes an upgrade of HTTP/1.1.

use std::net::{IpAddr, Ipv6Addr};

use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::BodyExt;
use tower_upgrade::tunnel::Forwarded;

use super::*;
use crate::extended_connect::support::{Answer, Client, connect};

impl Proxy {
    async fn client2(&self) -> Client {
        Client::serve(self.layer.layer(inner(&self.inner))).await
    }

    /// A request on its way, and the upstream that is asked.
    async fn asked2(
        &mut self,
        protocol: &'static str,
        headers: &[(&'static str, &'static str)],
    ) -> (tokio::task::JoinHandle<Answer>, Upstream) {
        let mut client = self.client2().await;
        let answer = client.sending(connect(protocol, "/x?y", headers));
        let answer = tokio::spawn(async move {
            let answer = answer.await;
            // Its connection ends with it.
            drop(client);
            answer
        });
        let upstream = self.upstream().await;
        (answer, upstream)
    }

    /// A stream and an upstream after their switch to `foo`.
    async fn switched2(&mut self) -> (Answer, Upstream) {
        let (answer, mut upstream) = self.asked2("foo", &[]).await;
        upstream.receive().await.is(&up("GET /x?y", "", "foo")).and_is_open();
        upstream.send(switching("foo")).await;
        (answer.await.unwrap(), upstream)
    }
}

/// Takes the key out of a request.
fn without_key(request: &str) -> (String, String) {
    let (before, rest) = request.split_once("sec-websocket-key: ").expect("a key");
    let (key, after) = rest.split_once("\r\n").unwrap();
    (key.to_owned(), format!("{before}{after}"))
}

fn accept(key: &str) -> String {
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    derive_accept_key(key.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_websocket_gets_a_key_whose_answer_is_checked_and_stays_here() {
    // HAP-06, HAP-11, R8441-5
    let mut proxy = Proxy::new();
    let mut keys = Vec::new();
    let headers = [
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, v2"),
        ("origin", "http://a.test"),
    ];
    for _ in 0..3 {
        let (answer, mut upstream) = proxy.asked2("websocket", &headers).await;
        let received = upstream.receive().await;
        let (key, rest) = without_key(&received.and_is_open().text);
        let expected = up(
            "GET /x?y",
            "sec-websocket-version: 13\r\nsec-websocket-protocol: chat, v2\r\norigin: \
             http://a.test\r\n",
            "websocket",
        );
        // The header of the host comes last here.
        assert_eq!(sorted(&rest), sorted(&expected));
        assert_eq!(STANDARD.decode(&key).unwrap().len(), 16);
        upstream
            .send(format!(
                "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: \
                 websocket\r\nSec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: v2\r\n\r\nNP",
                accept(&key)
            ))
            .await;
        let mut answer = answer.await.unwrap();
        answer.is(200, &["sec-websocket-protocol: v2"]);
        assert_eq!(answer.receive().await, ("NP".to_owned(), false));
        assert_eq!(answer.exchange("up").await, "");
        upstream.receive().await.is("up").and_is_open();
        keys.push(key);
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

fn sorted(head: &str) -> Vec<&str> {
    let mut lines: Vec<_> = head.split("\r\n").collect();
    lines[1..].sort_unstable();
    lines
}

#[tokio::test(start_paused = true)]
async fn a_key_of_the_client_counts_for_nothing() {
    let mut proxy = Proxy::new();
    let (answer, mut upstream) = proxy.asked2("websocket", &[("sec-websocket-key", KEY)]).await;
    let received = upstream.receive().await;
    let (key, rest) = without_key(&received.text);
    assert_ne!(key, KEY);
    assert!(!rest.contains("key"), "{rest}");
    // The answer to the client's.
    upstream
        .send(format!(
            "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: \
             {ACCEPT}\r\n\r\n"
        ))
        .await;
    answer
        .await
        .unwrap()
        .is(502, &["content-length: 66", "content-type: text/plain; charset=utf-8"]);
    upstream.is_dropped().await;
    proxy.is_idle_after(&["websocket Upstream NotSwitched"]);
}

#[tokio::test(start_paused = true)]
async fn the_request_goes_up_as_one_of_http_1() {
    let mut proxy = Proxy::new();
    let proxy_tunnel =
        proxy.tunnel().forwarded(Forwarded::set(|_head| Some(IpAddr::V6(Ipv6Addr::LOCALHOST))));
    let headers = [
        ("x", "1"),
        // RFC 9113 §8.2.3
        ("cookie", "a=1"),
        ("te", "trailers"),
        ("cookie", "b=2"),
        ("x-forwarded-for", "::2"),
        ("cookie", "c=3; d=4"),
        ("http2-settings", "AAMA"),
        ("upgrade-insecure-requests", "1"),
    ];
    let (_answer, mut upstream) = proxy.asked2("foo", &headers).await;
    let expected = "GET /x?y HTTP/1.1\r\nx: 1\r\ncookie: a=1; b=2; c=3; d=4\r\nx-forwarded-for: \
                    ::2\r\nupgrade-insecure-requests: 1\r\nhost: a.test\r\nconnection: \
                    upgrade\r\nupgrade: foo\r\n\r\n";
    upstream.receive().await.is(expected).and_is_open();

    proxy.layer = UpgradeLayer::new().on("foo", proxy_tunnel).extended_connect();
    let (_answer, mut upstream) = proxy.asked2("foo", &headers[..1]).await;
    let expected = "GET /x?y HTTP/1.1\r\nx: 1\r\nforwarded: \
                    for=\"[::1]\";host=\"a.test\"\r\nx-forwarded-for: \
                    ::1\r\nx-forwarded-host: a.test\r\nhost: \
                    a.test\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n";
    upstream.receive().await.is(expected).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_switch_goes_down_unless_it_would_open_the_stream() {
    // S-10
    let mut proxy = Proxy::new();
    for (status, expected, more) in [
        ("200 OK", 502, ""),
        ("204 No Content", 502, ""),
        ("299 x", 502, ""),
        ("302 Found", 302, "Location: http://c.test/\r\n"),
        ("404 Not Found", 404, ""),
        // HTTP/2 has no `Upgrade` header.
        ("426 Upgrade Required", 400, "Upgrade: foo\r\n"),
        ("503 Service Unavailable", 503, ""),
    ] {
        let (answer, mut upstream) = proxy.asked2("foo", &[]).await;
        upstream.receive().await.is(&up("GET /x?y", "", "foo")).and_is_open();
        let length = if status.starts_with("204") { "" } else { "Content-Length: 4\r\n" };
        upstream
            .send(format!(
                "HTTP/1.1 {status}\r\nA: b\r\nConnection: upgrade, x-hop\r\nX-Hop: 1\r\nKeep-Alive: \
                 1\r\n{more}{length}\r\n"
            ))
            .await;
        upstream.0.write_all(b"body").await.ok();
        let answer = answer.await.unwrap();
        let location = if expected == 302 { &["location: http://c.test/"][..] } else { &[] };
        if expected == 502 {
            answer.is(502, &["content-length: 66", "content-type: text/plain; charset=utf-8"]);
            proxy.is_idle_after(&["foo Upstream NotSwitched"]);
        } else {
            answer.is(expected, &[&["a: b", "content-length: 4"], location].concat());
            assert_eq!(answer.text, "body");
            proxy.is_idle_after(&[]);
        }
        drop(answer);
        upstream.is_dropped().await;
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_go_down_without_those_of_the_connection() {
    // R9110-7.6.1. Not over HTTP/1.1, where hyper sends those only that `Trailer` names, a header that stays
    // behind.
    let mut proxy = Proxy::new();
    let mut client = proxy.client2().await;
    let answer = tokio::spawn(async move {
        let response = client.send_raw(connect("foo", "/x", &[])).await.unwrap();
        response.into_body().collect().await.unwrap()
    });
    let mut upstream = proxy.upstream().await;
    upstream
        .send(
            "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nA: \
             1\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nB: 2\r\nA: 3\r\n\r\n",
        )
        .await;
    let body = answer.await.unwrap();
    let trailers = body.trailers().expect("trailers");
    let mut trailers: Vec<_> =
        trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    trailers.sort_unstable();
    assert_eq!(trailers, [("a", &b"1"[..]), ("a", b"3"), ("b", b"2")]);
    assert_eq!(body.to_bytes(), "body");
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_upstream_are_answers_of_one_stream() {
    let mut proxy = Proxy::new();
    let (answer, upstream) = proxy.asked2("foo", &[]).await;
    drop(upstream);
    let expected = ["content-length: 53", "content-type: text/plain; charset=utf-8"];
    answer.await.unwrap().is(502, &expected);
    proxy.is_idle_after(&["foo Upstream Closed"]);
    let (answer, _upstream) = proxy.asked2("foo", &[]).await;
    assert_eq!(answer.await.unwrap().status, 504);
    proxy.is_idle_after(&["foo Upstream ResponseTimedOut"]);
}

#[tokio::test(start_paused = true)]
async fn each_side_of_a_stream_may_close_its_direction_and_read_on() {
    let mut proxy = Proxy::new();
    let (mut answer, mut upstream) = proxy.switched2().await;
    answer.is(200, &[]);
    assert_eq!(answer.exchange("last").await, "");
    answer.tunnel().shutdown().await.unwrap();
    upstream.receive().await.is("last").and_ends();
    upstream.send("more").await;
    assert_eq!(answer.receive().await, ("more".to_owned(), false));
    drop(upstream);
    assert_eq!(answer.receive().await, (String::new(), true));
    proxy.is_idle_after(&[]);

    let (mut answer, mut upstream) = proxy.switched2().await;
    upstream.send("last").await;
    upstream.0.shutdown().await.unwrap();
    assert_eq!(answer.receive().await, ("last".to_owned(), true));
    answer.tunnel().write_all(b"more").await.unwrap();
    upstream.receive().await.is("more").and_is_open();
    answer.tunnel().shutdown().await.unwrap();
    upstream.is_dropped().await;
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn large_amounts_go_through_the_windows_of_a_stream() {
    let mut proxy = Proxy::new();
    let (mut answer, upstream) = proxy.switched2().await;
    let (mut from, mut to) = tokio::io::split(upstream.0);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let (mut read, mut write) = tokio::io::split(answer.tunnel.take().unwrap());
    let send = async |io: &mut (dyn tokio::io::AsyncWrite + Send + Unpin)| {
        io.write_all(&bytes).await.unwrap();
        io.shutdown().await.unwrap();
    };
    let (mut down, mut up) = (Vec::new(), Vec::new());
    tokio::join!(
        send(&mut to),
        send(&mut write),
        async { read.read_to_end(&mut down).await },
        async { from.read_to_end(&mut up).await }
    )
    .2
    .unwrap();
    assert!(down == bytes && up == bytes, "{} {}", down.len(), up.len());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_reset_before_the_answer_ends_the_upstream() {
    let mut proxy = Proxy::new();
    let mut client = proxy.client2().await;
    let answer = tokio::spawn(client.sending(connect("foo", "/x?y", &[])));
    let mut upstream = proxy.upstream().await;
    upstream.receive().await.is(&up("GET /x?y", "", "foo")).and_is_open();
    answer.abort();
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo Disconnected"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_gone_ends_its_upstreams() {
    let mut proxy = Proxy::new();
    let (client, server) = tokio::io::duplex(1 << 16);
    let service = tower::util::BoxCloneService::new(proxy.layer.layer(inner(&proxy.inner)));
    let mut builder =
        hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    builder.enable_connect_protocol();
    let serving = tokio::spawn(builder.serve_connection(
        hyper_util::rt::TokioIo::new(server),
        hyper_util::service::TowerToHyperService::new(service),
    ));
    let mut client = Client::over(client).await;
    let answer = tokio::spawn(client.sending(connect("foo", "/x?y", &[])));
    let mut upstream = proxy.upstream().await;
    upstream.send(switching("foo")).await;
    let _answer = answer.await.unwrap();
    upstream.receive().await.is(&up("GET /x?y", "", "foo")).and_is_open();
    serving.abort();
    upstream.receive().await.is("").and_ends();
    upstream.0.write_all(b"x").await.ok();
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo Handler Client"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_idle_streams() {
    let mut proxy = Proxy::new();
    let (mut answer, mut upstream) = proxy.switched2().await;
    proxy.connections.drain();
    settle().await;
    assert_eq!(answer.receive().await, (String::new(), true));
    upstream.is_dropped().await;
    drop(answer);
    proxy.connections.drained().await;
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn http_2_is_not_carried_in_http_2() {
    // HAP-06
    let mut proxy = Proxy::new();
    let answer = proxy.client2().await.connect("h2c").await;
    assert_eq!(proxy.inner.take(), ["inner CONNECT http://a.test/x \"\" upgradable"]);
    drop(answer);
    proxy.has_not_connected();
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_reset_after_the_switch_ends_the_upstream() {
    // hyper reads a reset as EOF, and writing fails.
    let mut proxy = Proxy::new();
    let (answer, mut upstream) = proxy.switched2().await;
    drop(answer);
    upstream.receive().await.is("").and_ends();
    upstream.0.write_all(b"x").await.ok();
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo Handler Client"]);
}
