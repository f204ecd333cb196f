//! `connect-tcp` between a client and a real connection.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tower_upgrade::UpgradeLayer;

use super::{
    proxy::Proxy,
    support::{Answer, BOTH, Http, ask, in_time, layer, offer, path, read_head, until_idle, wire},
};
use crate::support::*;

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let path = path("connect-tcp", listener.local_addr().unwrap().port());
    (listener, path)
}

/// A tunnel, and the target's end of it.
async fn open(http: Http, layer: &UpgradeLayer) -> (Answer, TcpStream) {
    let (listener, path) = listen().await;
    let mut answer = ask(http, layer, "connect-tcp", &path).await;
    answer.tunnel();
    // The connection was there before the answer.
    let (target, _) = in_time(listener.accept()).await.unwrap();
    (answer, target)
}

async fn read(target: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    in_time(target.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn bytes_travel_both_ways_and_the_client_may_end_first() {
    // Rtcp-3.1
    for http in BOTH {
        let log = Log::default();
        let layer = layer(Proxy::default(), &log);
        let (mut answer, mut target) = open(http, &layer).await;
        assert_eq!(answer.status, if http == Http::One { 101 } else { 200 });
        let hop =
            format!("proxy-status: tower-upgrade; next-hop=\"{}\"", target.local_addr().unwrap());
        assert_eq!(answer.headers, ["capsule-protocol: ?1", &hop]);
        // With an empty capsule, and one of another type.
        answer.send(b"\xa0\x28\xd7\xf0\x03abc\xa0\x28\xd7\xf0\0\x17\x01x").await;
        read(&mut target, b"abc").await;
        target.write_all(b"answer").await.unwrap();
        answer.expect(b"\xa0\x28\xd7\xf0\x06answer").await;

        answer.send(b"\xa0\x28\xd7\xf1\x02de\x17\x01x").await;
        read(&mut target, b"de").await;
        assert_eq!(in_time(target.read(&mut [0])).await.unwrap(), 0);
        target.write_all(b"more").await.unwrap();
        answer.expect(b"\xa0\x28\xd7\xf0\x04more").await;
        drop(target);
        answer.expect(b"\xa0\x28\xd7\xf1\0").await;
        assert_eq!(answer.rest().await, b"");
        answer.finish().await;
        until_idle(&layer).await;
        assert_eq!(log.take(), [""; 0]);
    }
}

#[tokio::test]
async fn the_target_may_end_first() {
    for http in BOTH {
        let log = Log::default();
        let layer = layer(Proxy::default(), &log);
        let (mut answer, mut target) = open(http, &layer).await;
        target.shutdown().await.unwrap();
        answer.expect(b"\xa0\x28\xd7\xf1\0").await;
        answer.send(b"\xa0\x28\xd7\xf0\x03abc").await;
        read(&mut target, b"abc").await;
        answer.send(b"\xa0\x28\xd7\xf1\0").await;
        assert_eq!(in_time(target.read(&mut [0])).await.unwrap(), 0);
        assert_eq!(answer.rest().await, b"");
        answer.finish().await;
        until_idle(&layer).await;
        assert_eq!(log.take(), [""; 0]);
    }
}

#[tokio::test]
async fn bytes_arrive_wherever_they_and_the_request_are_split() {
    // P-58
    let layer = layer(Proxy::default(), &Log::default());
    let (listener, path) = listen().await;
    let capsules = b"\xa0\x28\xd7\xf0\x03abc\x17\x02..\xa0\x28\xd7\xf1\x02de";
    let bytes = [offer("connect-tcp", &path).as_bytes(), capsules].concat();
    for at in 0..=bytes.len() {
        let mut wire = Wire::serve(super::support::service(&layer));
        wire.send(&bytes[..at]).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        wire.send(&bytes[at..]).await;
        let (mut target, _) = in_time(listener.accept()).await.unwrap();
        let mut received = Vec::new();
        in_time(target.read_to_end(&mut received)).await.unwrap();
        assert_eq!(received, b"abcde", "{at}");
        drop(target);
        in_time(read_head(&mut wire.io)).await;
        let mut rest = Vec::new();
        in_time(wire.io.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"\xa0\x28\xd7\xf1\0", "{at}");
    }
}

#[tokio::test]
async fn a_long_stream_comes_back_whole() {
    const LENGTH: usize = 4 << 20;
    for http in BOTH {
        let layer = layer(Proxy::default(), &Log::default());
        let (answer, target) = open(http, &layer).await;
        tokio::spawn(async move {
            let (mut reader, mut writer) = target.into_split();
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        });
        let bytes: Vec<u8> = (0..=250).cycle().take(LENGTH).collect();
        let (reader, mut writer) = tokio::io::split(answer.into_tunnel());
        let outgoing = bytes.clone();
        let send = async move {
            // One capsule that is longer than any buffer.
            writer.write_all(b"\xa0\x28\xd7\xf1\x80\x40\0\0").await.unwrap();
            writer.write_all(&outgoing).await.unwrap();
            writer
        };
        let receive = async move {
            let mut stream = tokio_util::codec::FramedRead::new(
                reader,
                super::capsule::Capsules::new(super::tcp::Stream::default()),
            );
            let mut received = Vec::new();
            while let Some(data) = futures_util::StreamExt::next(&mut stream).await {
                let data = data.unwrap();
                received.extend_from_slice(&data.bytes);
                if data.is_final {
                    return received;
                }
            }
            panic!("no FINAL_DATA");
        };
        let (_writer, received) = in_time(async { tokio::join!(send, receive) }).await;
        assert!(received == bytes, "{http:?}");
    }
}

#[tokio::test]
async fn without_a_connection_there_is_no_switch() {
    // Rtcp-3.1
    let (listener, path) = listen().await;
    drop(listener);
    let layer = layer(Proxy::default(), &Log::default());
    for http in BOTH {
        let answer = ask(http, &layer, "connect-tcp", &path).await;
        answer.is(
            502,
            &["content-length: 29", "proxy-status: tower-upgrade; error=connection_refused"],
        );
    }
    // The client may go on in HTTP/1.1.
    let mut wire = wire();
    for _ in 0..2 {
        wire.send(offer("connect-tcp", &path)).await;
        let head = in_time(read_head(&mut wire.io)).await;
        assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
        assert!(!head.contains("connection: "), "{head}");
        in_time(wire.io.read_exact(&mut [0; 29])).await.unwrap();
    }
}

/// Linux leaves a SYN without an answer if nobody accepts, and the queue is full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_target_that_does_not_answer_gets_a_504() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queue.push(stream);
        assert!(queue.len() < 100, "the queue is never full");
    }
    let proxy = Proxy { patience: Duration::from_millis(10), ..Proxy::default() };
    let layer = layer(proxy, &Log::default());
    for http in BOTH {
        let answer = ask(http, &layer, "connect-tcp", &path("connect-tcp", address.port())).await;
        answer.is(
            504,
            &["content-length: 29", "proxy-status: tower-upgrade; error=connection_timeout"],
        );
    }
}

#[tokio::test]
async fn the_next_address_is_tried() {
    let (listener, path) = listen().await;
    let port = listener.local_addr().unwrap().port();
    let resolve = move |_| -> super::proxy::Lookup {
        // Nobody listens on the first one.
        let addresses = ["127.0.0.9", "127.0.0.1"]
            .map(|ip| (ip.parse::<std::net::IpAddr>().unwrap(), port).into());
        Box::pin(std::future::ready(Ok(addresses.to_vec())))
    };
    let proxy = Proxy { resolve: std::sync::Arc::new(resolve), ..Proxy::default() };
    let layer = layer(proxy, &Log::default());
    let mut answer =
        ask(Http::One, &layer, "connect-tcp", &path.replace("127.0.0.1", "a.test")).await;
    let hop = format!("proxy-status: tower-upgrade; next-hop=\"127.0.0.1:{port}\"");
    answer.is(101, &["capsule-protocol: ?1", &hop]);
    let (mut target, _) = in_time(listener.accept()).await.unwrap();
    answer.send(b"\xa0\x28\xd7\xf0\x01a").await;
    read(&mut target, b"a").await;
}
