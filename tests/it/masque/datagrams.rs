//! `connect-udp` between a client and a real socket.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
    sync::mpsc,
};

use super::{
    proxy::Proxy,
    support::{
        Answer, BOTH, Http, ask, ask_over, in_time, layer, offer, path, read_head, until_idle,
    },
};
use crate::support::*;

/// A target, and the path of the tunnel to it.
async fn target() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let path = path("connect-udp", socket.local_addr().unwrap().port());
    (socket, path)
}

/// The next datagram that a target gets, and who sent it.
async fn next(target: &UdpSocket) -> (Vec<u8>, std::net::SocketAddr) {
    let mut payload = vec![0; 1 << 16];
    let (length, from) = in_time(target.recv_from(&mut payload)).await.unwrap();
    payload.truncate(length);
    (payload, from)
}

#[tokio::test]
async fn payloads_travel_both_ways_and_keep_their_bounds() {
    // R9297-3.2-04
    for http in BOTH {
        let log = Log::default();
        let layer = layer(Proxy::default(), &log);
        let (target, path) = target().await;
        let mut answer = ask(http, &layer, "connect-udp", &path).await;
        // With an empty one, two in one write, a capsule of another type, and an unknown context.
        answer.send(b"\0\x06\0hello\0\x01\0\x17\x03abc\0\x02\x02x\0\x02\0a").await;
        let (payload, tunnel) = next(&target).await;
        assert_eq!(payload, b"hello");
        assert_eq!(next(&target).await.0, b"");
        assert_eq!(next(&target).await.0, b"a");

        target.send_to(b"answer", tunnel).await.unwrap();
        answer.expect(b"\0\x07\0answer").await;
        target.send_to(b"", tunnel).await.unwrap();
        answer.expect(b"\0\x01\0").await;
        target.send_to(&vec![b'x'; 65_507], tunnel).await.unwrap();
        answer.expect(&[&b"\0\x80\0\xff\xe4\0"[..], &vec![b'x'; 65_507]].concat()).await;

        // Only the target reaches the client.
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stranger.send_to(b"strange", tunnel).await.unwrap();
        target.send_to(b"known", tunnel).await.unwrap();
        answer.expect(b"\0\x06\0known").await;

        answer.finish().await;
        assert_eq!(answer.rest().await, b"");
        until_idle(&layer).await;
        assert_eq!(log.take(), [""; 0]);
    }
}

#[tokio::test]
async fn a_datagram_arrives_wherever_its_bytes_and_the_request_are_split() {
    // R9298-5: bytes behind the request belong to the tunnel if it is opened. P-58
    let layer = layer(Proxy::default(), &Log::default());
    let (target, path) = target().await;
    let bytes = [offer("connect-udp", &path).as_bytes(), b"\x17\x02..\0\x06\0hello"].concat();
    for at in 0..=bytes.len() {
        let mut wire = Wire::serve(super::support::service(&layer));
        wire.send(&bytes[..at]).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        wire.send(&bytes[at..]).await;
        let (payload, tunnel) = next(&target).await;
        assert_eq!(payload, b"hello", "{at}");
        target.send_to(b"a", tunnel).await.unwrap();
        in_time(read_head(&mut wire.io)).await;
        let mut capsule = [0; 4];
        in_time(wire.io.read_exact(&mut capsule)).await.unwrap();
        assert_eq!(&capsule, b"\0\x02\0a");
    }
}

#[tokio::test]
async fn a_socket_without_a_target_ends_the_stream() {
    // R9298-3.1-03
    for http in BOTH {
        let log = Log::default();
        let layer = layer(Proxy::default(), &log);
        let (target, path) = target().await;
        let mut answer = ask(http, &layer, "connect-udp", &path).await;
        drop(target);
        answer.send(b"\0\x06\0hello").await;
        assert_eq!(answer.rest().await, b"");
        answer.finish().await;
        until_idle(&layer).await;
        let failures = log.take();
        assert!(failures[0].starts_with("failed connect-udp Handler: "), "{failures:?}");
        assert_eq!(failures.len(), 1);
    }
}

#[tokio::test]
async fn a_payload_that_does_not_fit_is_dropped_and_one_of_no_udp_ends_the_stream() {
    for http in BOTH {
        let log = Log::default();
        let layer = layer(Proxy::default(), &log);
        let (target, path) = target().await;
        let mut answer = ask(http, &layer, "connect-udp", &path).await;
        // The longest of UDP, which is longer than a packet of IPv4.
        let longest = [&b"\0\x80\0\xff\xf8\0"[..], &vec![b'x'; 65_527]].concat();
        answer.send([&longest[..], b"\0\x02\0a"].concat()).await;
        assert_eq!(next(&target).await.0, b"a");
        // One byte more.
        answer.send([&b"\0\x80\0\xff\xf9\0"[..], &vec![b'x'; 65_528]].concat()).await;
        assert_eq!(answer.rest().await, b"");
        until_idle(&layer).await;
        let failures = log.take();
        assert_eq!(failures.len(), 1);
        assert!(
            failures[0].ends_with("a datagram is longer than one of UDP can be"),
            "{failures:?}"
        );
    }
}

#[tokio::test]
async fn a_capsule_that_is_cut_off_is_a_failure() {
    for http in BOTH {
        let log = Log::default();
        let layer = layer(Proxy::default(), &log);
        let (target, path) = target().await;
        let mut answer = ask(http, &layer, "connect-udp", &path).await;
        answer.send(b"\0\x02\0a\0\x06\0hel").await;
        assert_eq!(next(&target).await.0, b"a");
        answer.finish().await;
        assert_eq!(answer.rest().await, b"");
        until_idle(&layer).await;
        let failures = log.take();
        assert_eq!(failures.len(), 1);
        assert!(failures[0].ends_with("unexpected end of file"), "{failures:?}");
    }
}

#[tokio::test]
async fn a_drain_ends_the_tunnel_between_two_capsules() {
    for http in BOTH {
        let log = Log::default();
        let layer = layer(Proxy::default(), &log);
        let (target, path) = target().await;
        let mut answer = ask(http, &layer, "connect-udp", &path).await;
        answer.send(b"\0\x02\0a").await;
        let (_, tunnel) = next(&target).await;
        target.send_to(b"b", tunnel).await.unwrap();
        answer.expect(b"\0\x02\0b").await;
        layer.connections().drain();
        assert_eq!(answer.rest().await, b"");
        answer.finish().await;
        in_time(layer.connections().drained()).await;
        assert_eq!(log.take(), [""; 0]);
        // No tunnel is opened any more.
        assert_eq!(ask(http, &layer, "connect-udp", &path).await.status, 503);
    }
}

/// Opens a tunnel over a pipe that holds a few bytes, and has the proxy write a long capsule into it.
async fn stuck(http: Http, layer: &tower_upgrade::UpgradeLayer) -> (Answer, UdpSocket) {
    let (target, path) = target().await;
    let (client, server) = tokio::io::duplex(64);
    let mut answer = ask_over(http, layer, "connect-udp", &path, client, server).await;
    answer.send(b"\0\x02\0a").await;
    let (_, tunnel) = next(&target).await;
    target.connect(tunnel).await.unwrap();
    target.send(&[b'x'; 1000]).await.unwrap();
    // It has begun.
    answer.expect(b"\0\x43\xe9\0").await;
    (answer, target)
}

#[tokio::test]
async fn a_capsule_that_has_begun_is_finished_in_a_drain() {
    let log = Log::default();
    let layer = layer(Proxy::default(), &log);
    let (mut answer, _target) = stuck(Http::One, &layer).await;
    layer.connections().drain();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(answer.rest().await, [b'x'; 1000]);
    answer.finish().await;
    in_time(layer.connections().drained()).await;
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test]
async fn a_client_that_takes_nothing_does_not_hold_up_a_drain() {
    let log = Log::default();
    let layer = layer(Proxy::default(), &log);
    let (_answer, _target) = stuck(Http::One, &layer).await;
    tokio::time::pause();
    layer.connections().drain();
    let started = tokio::time::Instant::now();
    in_time(layer.connections().drained()).await;
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!(
        log.take(),
        ["failed connect-udp Handler: the upgraded connection ended with an error: timed out"]
    );
}

#[tokio::test]
async fn datagrams_that_the_client_does_not_take_are_dropped() {
    const SENT: usize = 2000;
    for http in BOTH {
        let layer = layer(Proxy::default(), &Log::default());
        let (mut answer, target) = stuck(http, &layer).await;
        // 32 MB, of which nobody but the kernel keeps any.
        for _ in 0..SENT {
            target.send(&[b'y'; 16_000]).await.unwrap();
        }
        let (seen, mut lengths) = mpsc::unbounded_channel();
        let reader = tokio::spawn(async move {
            let tunnel = answer.tunnel();
            let mut payload = vec![0; 1000];
            tunnel.read_exact(&mut payload).await.unwrap();
            // The length of the last one takes one byte, and that of the others two.
            loop {
                let mut head = [0; 3];
                tunnel.read_exact(&mut head).await.unwrap();
                if head == *b"\0\x02\0" {
                    break tunnel.read_u8().await.unwrap();
                }
                assert_eq!(head[1] >> 6, 0b01, "{head:?}");
                let length = usize::from(u16::from_be_bytes([head[1], head[2]]) & 0x3fff);
                payload.resize(length, 0);
                tunnel.read_exact(&mut payload).await.unwrap();
                assert!(payload[1..].iter().all(|&byte| byte == b'y'));
                seen.send(length).unwrap();
            }
        });
        // The last one may be dropped as well, so it is repeated.
        let last = async {
            while !reader.is_finished() {
                target.send(b"z").await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            reader.await.unwrap()
        };
        assert_eq!(in_time(last).await, b'z');
        let mut taken = 0;
        while let Ok(length) = lengths.try_recv() {
            assert_eq!(length, 16_001);
            taken += 1;
        }
        assert!(taken < SENT, "{http:?}: all {SENT} were kept");
    }
}

#[tokio::test]
async fn a_client_that_is_gone_ends_the_tunnel() {
    for http in BOTH {
        let layer = layer(Proxy::default(), &Log::default());
        let (_target, path) = target().await;
        let mut answer = ask(http, &layer, "connect-udp", &path).await;
        answer.tunnel().flush().await.unwrap();
        assert_eq!(layer.connections().active(), 1);
        drop(answer);
        until_idle(&layer).await;
    }
}
