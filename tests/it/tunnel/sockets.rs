//! Resets, which only sockets have.

use std::io;

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A client, its upstream, and the failures and connections of the tunnel between them.
struct Sockets {
    client: TcpStream,
    upstream: TcpStream,
    failures: Log,
    connections: Connections,
}

async fn asked() -> Sockets {
    let upstreams = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tunnel = Tunnel::to(&format!("http://{}", upstreams.local_addr().unwrap())).unwrap();
    let failures = Log::default();
    let layer = layer(tunnel, &failures);
    let connections = layer.connections();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let service = TowerToHyperService::new(layer.layer(inner(&Log::default())));
    tokio::spawn(
        http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades(),
    );
    client.write_all(get(FOO).as_bytes()).await.unwrap();
    let (mut upstream, _) = upstreams.accept().await.unwrap();
    let mut asked = vec![0; up("GET /x", "", "foo").len()];
    upstream.read_exact(&mut asked).await.unwrap();
    Sockets { client, upstream, failures, connections }
}

async fn switched() -> Sockets {
    let mut sockets = asked().await;
    sockets.upstream.write_all(switching("foo").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(sockets.client.read_u8().await.unwrap());
    }
    assert_eq!(without_date(&answer), switching("foo"));
    sockets
}

/// Has a connection reset when it is dropped.
fn resets(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

async fn is_reset(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).await.unwrap_err();
    assert_eq!((error.kind(), bytes.len()), (io::ErrorKind::ConnectionReset, 0));
}

impl Sockets {
    /// Waits for the end of the tunnel.
    async fn ends(self, failures: &[&str]) {
        timeout(Duration::from_secs(20), async {
            while self.connections.active() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        assert_eq!(self.failures.take(), owned(failures));
    }
}

#[tokio::test]
async fn a_reset_of_one_side_resets_the_other() {
    let Sockets { client, mut upstream, failures, connections } = switched().await;
    resets(&client);
    drop(client);
    is_reset(&mut upstream).await;
    assert_eq!(failures.take(), ["foo Handler Client"]);
    assert_eq!(connections.active(), 0);

    let Sockets { mut client, upstream, failures, connections } = switched().await;
    resets(&upstream);
    drop(upstream);
    is_reset(&mut client).await;
    timeout(Duration::from_secs(20), connections_end(&connections)).await.unwrap();
    assert_eq!(failures.take(), ["foo Handler Upstream"]);
}

async fn connections_end(connections: &Connections) {
    while connections.active() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_reset_before_its_answer_is_a_502() {
    let Sockets { mut client, upstream, failures, connections } = asked().await;
    resets(&upstream);
    drop(upstream);
    let expected =
        failed("502 Bad Gateway", "the connection to the upstream broke before its answer");
    let mut answer = Vec::new();
    while without_date(&answer).len() < expected.len() {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0);
    }
    assert_eq!(without_date(&answer), expected);
    assert_eq!((failures.take(), connections.active()), (owned(&["foo Upstream Reset"]), 0));
}

#[tokio::test]
async fn both_ends_are_clean_if_both_sides_close() {
    let mut sockets = switched().await;
    sockets.client.write_all(b"up").await.unwrap();
    sockets.client.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    sockets.upstream.read_to_end(&mut bytes).await.unwrap();
    sockets.upstream.write_all(b"down").await.unwrap();
    sockets.upstream.shutdown().await.unwrap();
    sockets.client.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"updown");
    sockets.ends(&[]).await;
}
