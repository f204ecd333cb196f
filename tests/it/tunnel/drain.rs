//! Tunnels that a drain ends.

use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_drain_closes_idle_tunnels_at_once() {
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.switched().await;
    settle().await;
    let start = Instant::now();
    proxy.connections.drain();
    assert_eq!(client.io.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
    upstream.is_dropped().await;
    client.io.shutdown().await.unwrap();
    proxy.connections.drained().await;
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_client_that_may_not_have_received_all() {
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.switched().await;
    upstream.send("all").await;
    upstream.0.shutdown().await.unwrap();
    proxy.connections.drain();
    // The tunnel has been idle for long enough, and the client has not closed.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(proxy.connections.active(), 1);
    client.receive().await.is("all").and_ends();
    client.io.shutdown().await.unwrap();
    settle().await;
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_busy_tunnels_once_they_are_idle() {
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.switched().await;
    proxy.connections.drain();
    for _ in 0..20 {
        client.send("x").await;
        assert_eq!(upstream.0.read_u8().await.unwrap(), b'x');
        tokio::time::sleep(Duration::from_millis(600)).await;
        upstream.send("y").await;
        assert_eq!(client.io.read_u8().await.unwrap(), b'y');
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let start = Instant::now();
    assert_eq!(client.io.read(&mut [0]).await.unwrap(), 0);
    assert!(start.elapsed() <= Duration::from_millis(400), "{:?}", start.elapsed());
    upstream.is_dropped().await;
    drop(client);
    proxy.connections.drained().await;
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_stays_busy_is_aborted_at_the_deadline() {
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.switched().await;
    let connections = proxy.connections.clone();
    let start = Instant::now();
    let shutdown = tokio::spawn(async move { connections.shutdown(Duration::from_secs(10)).await });
    let mut sent = 0;
    while upstream.0.write_all(b"x").await.is_ok() {
        sent += 1;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(start.elapsed().as_secs(), 10);
    let shutdown = shutdown.await.unwrap();
    assert_eq!((shutdown.finished, shutdown.aborted, shutdown.remaining), (0, 1, 0));
    client.receive().await.is(&"x".repeat(sent)).and_ends();
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo Aborted"]);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_with_bytes_for_a_slow_client_is_not_idle() {
    let mut proxy = Proxy::new();
    let mut client = Wire::serve_with_buffer(proxy.layer.layer(inner(&proxy.inner)), 1024);
    client.send(get(FOO)).await;
    let mut upstream = proxy.upstream().await;
    upstream.send(switching("foo")).await;
    client.receive().await.is(&switching("foo"));
    upstream.send("x".repeat(10_000)).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    proxy.connections.drain();
    tokio::time::sleep(Duration::from_secs(20)).await;
    client.receive().await.is(&"x".repeat(10_000)).and_is_open();
    client.receive().await.is("").and_ends();
}

#[tokio::test(start_paused = true)]
async fn a_handshake_in_a_drain_is_carried_out_and_ends_once_it_is_idle() {
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    proxy.connections.drain();
    settle().await;
    upstream.send(switching("foo") + "NP").await;
    settle().await;
    client.receive().await.is(&(switching("foo") + "NP")).and_ends();
    upstream.is_dropped().await;
    let mut late = proxy.client();
    late.exchange(get(FOO)).await.starts_with("HTTP/1.1 503 Service Unavailable\r\n").and_ends();
    proxy.has_not_connected();
}

const GOING_AWAY: &[u8] = b"\x88\x02\x03\xe9";

/// Three frames, of which one has a long length and one is empty.
fn frames() -> Vec<u8> {
    let mut frames = b"\x81\x05hello\x02\x7e\x00\x80".to_vec();
    frames.extend([0x88; 128]);
    frames.extend(b"\x80\x00");
    frames
}

/// Where a frame ends.
const ENDS: [usize; 4] = [0, 7, 7 + 4 + 128, 7 + 4 + 128 + 2];

impl Proxy {
    fn closing_websockets() -> Self {
        Self::with(Tunnel::close_websocket_on_drain)
    }

    /// A WebSocket whose upstream has sent these bytes.
    async fn websocket(&mut self, early: &[u8], later: &[u8]) -> (Wire, Upstream) {
        let (mut client, mut upstream) = self.asked(get(&websocket(""))).await;
        assert!(upstream.receive().await.text.starts_with("GET /x"));
        let mut answer = format!(
            "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: \
             {ACCEPT}\r\n\r\n"
        )
        .into_bytes();
        answer.extend_from_slice(early);
        upstream.send(&answer).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.io.read_u8().await.unwrap());
        }
        let mut received = vec![0; early.len()];
        client.io.read_exact(&mut received).await.unwrap();
        assert_eq!(received, early);
        upstream.send(later).await;
        let mut received = vec![0; later.len()];
        client.io.read_exact(&mut received).await.unwrap();
        assert_eq!(received, later);
        (client, upstream)
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_websocket_by_1001_between_two_frames() {
    let frames = frames();
    for at in 0..=frames.len() {
        let end = ENDS.into_iter().find(|&end| end >= at).unwrap();
        for (early, pieces) in [(0, 1), (at, 1), (at / 2, frames.len())] {
            let mut proxy = Proxy::closing_websockets();
            let (mut client, mut upstream) =
                proxy.websocket(&frames[..early], &frames[early..at]).await;
            proxy.connections.drain();
            if end == at {
                // At once.
                assert_eq!(client.receive_bytes().await, (GOING_AWAY.to_vec(), false), "{at}");
            }
            for piece in frames[at..].chunks(pieces) {
                upstream.send(piece).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if end != at {
                let expected = [&frames[at..end], GOING_AWAY].concat();
                assert_eq!(client.receive_bytes().await, (expected, false), "{at}");
            }
            // Bytes of the upstream after its close frame are dropped.
            upstream.send(b"\x81\x01x").await;
            client.receive().await.is("").and_is_open();
            client.send(b"\x88\x82\0\0\0\0\x03\xe9").await;
            upstream.receive().await.is("\u{fffd}\u{fffd}\0\0\0\0\x03\u{fffd}").and_is_open();
            upstream.send(GOING_AWAY).await;
            upstream.0.shutdown().await.unwrap();
            client.receive().await.is("").and_ends();
            client.io.shutdown().await.unwrap();
            upstream.is_dropped().await;
            proxy.is_idle_after(&[]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_gets_the_1001_behind_what_it_has_not_read_yet() {
    let mut proxy = Proxy::closing_websockets();
    let mut client = Wire::serve_with_buffer(proxy.layer.layer(inner(&proxy.inner)), 300);
    client.send(get(&websocket(""))).await;
    let mut upstream = proxy.upstream().await;
    let answer = format!(
        "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: \
         {ACCEPT}\r\n\r\n"
    );
    upstream.send(answer).await;
    client.receive().await.starts_with("HTTP/1.1 101 ").ends_with("\r\n\r\n");
    // Its end is read before the client takes it, and so is the start of another.
    let frame = [b"\x82\x7e\x27\x10".to_vec(), vec![0x88; 10_000]].concat();
    upstream.send(&frame).await;
    upstream.send(b"\x81").await;
    settle().await;
    proxy.connections.drain();
    settle().await;
    let (received, ended) = client.receive_bytes().await;
    assert_eq!((received.len(), ended), (frame.len() + 1, false));
    upstream.send(b"\x01x\x81\x01y").await;
    assert_eq!(client.receive_bytes().await, (b"\x01x\x88\x02\x03\xe9".to_vec(), false));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_its_upstream_has_closed_gets_no_second_close() {
    for mid_frame in [false, true] {
        let mut proxy = Proxy::closing_websockets();
        let close = b"\x88\x02\x03\xe8";
        let sent = if mid_frame { 3 } else { 4 };
        let (mut client, mut upstream) = proxy.websocket(&[], &close[..sent]).await;
        proxy.connections.drain();
        settle().await;
        upstream.send(&close[sent..]).await;
        assert_eq!(client.receive_bytes().await, (close[sent..].to_vec(), false));
        client.send(b"\x88\x82\0\0\0\0\x03\xe8").await;
        assert_eq!(upstream.receive().await.text.chars().count(), 8);
        upstream.0.shutdown().await.unwrap();
        client.receive().await.is("").and_ends();
        client.io.shutdown().await.unwrap();
        upstream.is_dropped().await;
        proxy.is_idle_after(&[]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_never_ends_and_a_close_that_is_not_answered_do_not_hold_up_a_drain() {
    for sent in [&b""[..], b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x81"] {
        let mut proxy = Proxy::closing_websockets();
        let (mut client, mut upstream) = proxy.websocket(&[], sent).await;
        let start = Instant::now();
        let shutdown = proxy.connections.shutdown(Duration::from_secs(60)).await;
        assert_eq!((shutdown.finished, shutdown.aborted), (1, 0));
        // Five seconds for the answer, and as many for the client's FIN.
        assert!((10..=11).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        let close = if sent.is_empty() { GOING_AWAY } else { b"" };
        assert_eq!(client.receive_bytes().await, (close.to_vec(), true));
        upstream.is_dropped().await;
        proxy.is_idle_after(&[]);
    }
}

#[tokio::test(start_paused = true)]
async fn only_websockets_are_ended_by_1001() {
    let mut proxy = Proxy::closing_websockets();
    let (mut client, mut upstream) = proxy.switched().await;
    proxy.connections.drain();
    settle().await;
    client.receive().await.is("").and_ends();
    upstream.is_dropped().await;
    // And only on request.
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.websocket(&[], b"\x81").await;
    proxy.connections.drain();
    settle().await;
    client.receive().await.is("").and_ends();
    upstream.is_dropped().await;
}
