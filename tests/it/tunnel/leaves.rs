//! Handshakes that end before there is a switch: the client leaves, or this server ends them.

use std::{
    future::pending,
    io,
    sync::{Arc, Weak},
};

use http::{Response, StatusCode};
use tower::ServiceExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn connecting_ends_with_the_client() {
    let alive = Arc::new(());
    let connecting: Weak<()> = Arc::downgrade(&alive);
    let tunnel = Tunnel::new(move |_head| {
        let alive = Arc::clone(&alive);
        async move {
            pending::<()>().await;
            drop(alive);
            Ok::<_, io::Error>(tokio::io::duplex(1).0)
        }
    });
    let failures = Log::default();
    let layer = layer(tunnel, &failures);
    // Those of the closures.
    let closures = connecting.strong_count();
    let mut client = Wire::serve(layer.layer(inner(&Log::default())));
    client.send(get(FOO)).await;
    settle().await;
    assert_eq!((connecting.strong_count(), layer.connections().active()), (closures + 1, 1));
    drop(client.io);
    settle().await;
    assert_eq!((connecting.strong_count(), layer.connections().active()), (closures, 0));
    assert_eq!(failures.take(), ["foo Disconnected"]);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_closed_if_the_client_leaves_while_it_thinks() {
    let mut proxy = Proxy::new();
    for thinks in ["", "HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 101 Switching"] {
        let (client, mut upstream) = proxy.asked(get(FOO)).await;
        upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
        upstream.send(thinks).await;
        settle().await;
        assert_eq!(proxy.connections.active(), 1);
        drop(client.io);
        upstream.is_dropped().await;
        proxy.is_idle_after(&["foo Disconnected"]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_upstream_is_asked_for_a_client_that_leaves_in_its_body() {
    let mut proxy = Proxy::new();
    let mut client = proxy.client();
    client.send(post(&format!("Content-Length: 5\r\n{FOO}"), "hell")).await;
    settle().await;
    drop(client.io);
    settle().await;
    proxy.has_not_connected();
    assert_eq!(proxy.connections.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_closed_if_the_client_leaves_in_an_answer() {
    let mut proxy = Proxy::new();
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
        upstream.send(head).await;
        client.receive().await.starts_with(&head[..12]).and_is_open();
        upstream.receive().await.is("").and_is_open();
        drop(client.io);
        // hyper looks for it when it writes, or reads.
        upstream.0.write_all(b"x").await.ok();
        upstream.is_dropped().await;
        proxy.is_idle_after(&[]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_a_client_that_does_not_read() {
    const LENGTH: usize = 16 << 20;

    let mut proxy = Proxy::with_buffer(1024, |tunnel| tunnel);
    let mut client = Wire::serve_with_buffer(proxy.layer.layer(inner(&proxy.inner)), 1024);
    client.send(get(FOO)).await;
    let mut upstream = proxy.upstream().await;
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
    let mut sent = 0;
    while let Ok(written) = timeout(QUIET, upstream.0.write(&[b'x'; 1000])).await {
        sent += written.unwrap();
    }
    // hyper's buffers of both connections hold this much at most.
    assert!(sent < 2 << 20, "{sent} bytes");
    let sending = tokio::spawn(async move {
        while sent < LENGTH {
            let length = (LENGTH - sent).min(1000);
            sent += upstream.0.write(&[b'x'; 1000][..length]).await.unwrap();
        }
        upstream
    });
    let mut head = vec![0; "HTTP/1.1 200 OK\r\ncontent-length: 16777216\r\n".len()];
    client.io.read_exact(&mut head).await.unwrap();
    let mut received = Vec::new();
    while received.len() < LENGTH {
        assert!(timeout(QUIET, client.io.read_buf(&mut received)).await.unwrap().unwrap() > 0);
    }
    sending.await.unwrap().is_dropped().await;
    assert!(received.ends_with(b"xxx"));
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_closed_if_this_server_ends_the_handshake() {
    let mut proxy = Proxy::new();
    proxy.layer = proxy.layer.clone().handshake_timeout(Duration::from_secs(3));
    let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.receive().await.starts_with("HTTP/1.1 503 Service Unavailable\r\n").and_is_open();
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo TimedOut"]);

    let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    proxy.connections.list()[0].abort();
    client.receive().await.starts_with("HTTP/1.1 503 Service Unavailable\r\n").and_ends();
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo Aborted"]);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_closed_if_an_outer_layer_replaces_the_101() {
    let mut proxy = Proxy::new();
    let replaced = proxy.layer.layer(inner(&proxy.inner)).map_response(|mut response| {
        *Response::status_mut(&mut response) = StatusCode::IM_A_TEAPOT;
        response.map(|_body| http_body_util::Full::<bytes::Bytes>::default())
    });
    let mut client = Wire::serve(replaced);
    client.send(get(FOO)).await;
    let mut upstream = proxy.upstream().await;
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    upstream.send(switching("foo") + "NP").await;
    let received = client.receive().await;
    received.starts_with("HTTP/1.1 418 ").ends_with("\r\n\r\n");
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo Replaced"]);
}

#[tokio::test(start_paused = true)]
async fn no_upstream_is_asked_if_there_is_no_place() {
    let mut proxy = Proxy::new();
    proxy.layer = proxy.layer.clone().max_connections(1);
    let (mut client, mut upstream) = proxy.switched().await;
    let mut other = proxy.client();
    other.exchange(get(FOO)).await.starts_with("HTTP/1.1 503 Service Unavailable\r\n");
    proxy.has_not_connected();
    // It is free again with the end of the tunnel.
    upstream.0.shutdown().await.unwrap();
    client.io.shutdown().await.unwrap();
    upstream.is_dropped().await;
    let mut other = proxy.client();
    other.send(get(FOO)).await;
    proxy.upstream().await.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
}
