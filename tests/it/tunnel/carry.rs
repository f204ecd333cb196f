//! The bytes of a tunnel after the switch.

use tokio::{
    io::{AsyncWrite, BufWriter},
    time::Instant,
};

use super::*;

#[tokio::test(start_paused = true)]
async fn bytes_that_a_client_sends_early_go_up_after_the_101() {
    // S-11, ENV-03
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.asked(get(FOO) + "early").await;
    client.send(" too").await;
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    upstream.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
    upstream.receive().await.is("").and_is_open();
    upstream.send(switching("foo")).await;
    upstream.receive().await.is("early too").and_is_open();
    client.receive().await.is(&switching("foo")).and_is_open();

    // Without the switch, they are the next request.
    let (mut client, mut upstream) = proxy.asked(get(FOO) + &get("")).await;
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let expected = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n{OK}");
    client.receive().await.is(&expected).and_is_open();
    upstream.is_dropped().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_sent_all_early_still_gets_what_comes() {
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.asked(get(FOO) + "early").await;
    client.io.shutdown().await.unwrap();
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    upstream.send(switching("foo")).await;
    upstream.receive().await.is("early").and_ends();
    upstream.send("NP").await;
    client.receive().await.is(&(switching("foo") + "NP")).and_is_open();
    drop(upstream);
    client.receive().await.is("").and_ends();
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_101_that_is_split_anywhere_switches_with_the_bytes_behind_it() {
    let answer = switching("foo") + "NP";
    let mut proxy = Proxy::new();
    for at in 0..=answer.len() {
        let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
        upstream.send(&answer[..at]).await;
        settle().await;
        upstream.send(&answer[at..]).await;
        let received = client.receive().await;
        assert_eq!((received.text, received.ended), (answer.clone(), false), "{at}");
    }
    let mut proxy = Proxy::with(|tunnel| tunnel.response_timeout(Duration::MAX));
    proxy.layer = proxy.layer.handshake_timeout(Duration::MAX);
    let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
    for byte in answer.bytes() {
        upstream.send([byte]).await;
        settle().await;
    }
    client.receive().await.is(&answer).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn each_side_may_close_its_direction_and_read_on() {
    // ENV-01, ENV-02
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.switched().await;
    client.send("last").await;
    client.io.shutdown().await.unwrap();
    upstream.receive().await.is("last").and_ends();
    client.receive().await.is("").and_is_open();
    upstream.send("more").await;
    client.receive().await.is("more").and_is_open();
    assert_eq!(proxy.connections.active(), 1);
    upstream.0.shutdown().await.unwrap();
    client.receive().await.is("").and_ends();
    proxy.is_idle_after(&[]);

    let (mut client, mut upstream) = proxy.switched().await;
    upstream.send("last").await;
    upstream.0.shutdown().await.unwrap();
    client.receive().await.is("last").and_ends();
    upstream.receive().await.is("").and_is_open();
    client.send("more").await;
    upstream.receive().await.is("more").and_is_open();
    assert_eq!(proxy.connections.active(), 1);
    client.io.shutdown().await.unwrap();
    upstream.is_dropped().await;
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_both_sides_at_once_is_clean() {
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.switched().await;
    client.io.shutdown().await.unwrap();
    upstream.0.shutdown().await.unwrap();
    client.receive().await.is("").and_ends();
    upstream.is_dropped().await;
    proxy.is_idle_after(&[]);
    // Behind the 101 already.
    let (mut client, mut upstream) = proxy.asked(get(FOO)).await;
    upstream.send(switching("foo") + "NP").await;
    upstream.0.shutdown().await.unwrap();
    client.receive().await.is(&(switching("foo") + "NP")).and_ends();
    client.io.shutdown().await.unwrap();
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_ends();
    upstream.is_dropped().await;
    proxy.is_idle_after(&[]);
}

/// Writes until nothing more is taken, and returns how many bytes were.
async fn fill(io: &mut (impl AsyncWrite + Unpin)) -> usize {
    let mut taken = 0;
    while let Ok(written) = timeout(QUIET, io.write(&[b'x'; 1000])).await {
        taken += written.unwrap();
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn each_direction_waits_for_its_reader_and_holds_64_kib() {
    const PIPE: usize = 4096;
    let mut proxy = Proxy::with_buffer(PIPE, |tunnel| tunnel);
    let mut client = Wire::serve_with_buffer(proxy.layer.layer(inner(&proxy.inner)), PIPE);
    client.send(get(FOO)).await;
    let mut upstream = proxy.upstream().await;
    upstream.receive().await.is(&up("GET /x", "", "foo"));
    upstream.send(switching("foo")).await;
    client.receive().await.is(&switching("foo"));

    let taken = fill(&mut upstream.0).await;
    assert!((2 * PIPE..=2 * PIPE + (64 << 10)).contains(&taken), "{taken}");
    // The other direction goes on.
    client.send("up").await;
    upstream.receive().await.is("up").and_is_open();
    let taken_up = fill(&mut client.io).await;
    assert!((2 * PIPE..=2 * PIPE + (64 << 10)).contains(&taken_up), "{taken_up}");

    assert_eq!(client.receive().await.text.len(), taken);
    assert_eq!(upstream.receive().await.text.len(), taken_up);
    client.send("up").await;
    upstream.send("down").await;
    upstream.receive().await.is("up").and_is_open();
    client.receive().await.is("down").and_is_open();
}

/// Sends numbers and checks those that come, until both have ended.
async fn exchange_numbers(io: DuplexStream, count: u32) -> DuplexStream {
    let (mut read, mut write) = tokio::io::split(io);
    let send = async {
        for number in 0..count {
            write.write_u32(number).await.unwrap();
        }
        write.shutdown().await.unwrap();
    };
    let receive = async {
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len(), 4 * count as usize);
        for (expected, number) in (0_u32..).zip(bytes.chunks(4)) {
            assert_eq!(number, expected.to_be_bytes());
        }
    };
    tokio::join!(send, receive);
    read.unsplit(write)
}

#[tokio::test(start_paused = true)]
async fn every_byte_arrives_once_and_in_order_whatever_the_pipes_hold() {
    for (client_pipe, upstream_pipe) in [(1 << 20, 7), (7, 1 << 20), (100, 100), (65_537, 65_535)] {
        // The 101 has to fit.
        let mut proxy = Proxy::with_buffer(upstream_pipe, |tunnel| tunnel);
        let service = proxy.layer.layer(inner(&proxy.inner));
        let mut client = Wire::serve_with_buffer(service, client_pipe);
        client.send(get(FOO)).await;
        let mut upstream = proxy.upstream().await;
        let mut asked = vec![0; up("GET /x", "", "foo").len()];
        upstream.0.read_exact(&mut asked).await.unwrap();
        upstream.send(switching("foo")).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.io.read_u8().await.unwrap());
        }
        tokio::join!(exchange_numbers(client.io, 30_000), exchange_numbers(upstream.0, 30_000));
        settle().await;
        proxy.is_idle_after(&[]);
    }
}

#[tokio::test(start_paused = true)]
async fn each_direction_is_flushed_when_it_pauses() {
    let (sender, mut opened) = mpsc::unbounded_channel();
    let tunnel = Tunnel::new(move |_head| {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        sender.send(theirs).unwrap();
        std::future::ready(Ok::<_, BoxError>(BufWriter::with_capacity(1 << 20, ours)))
    });
    let layer = layer(tunnel, &Log::default());
    let (client, server) = tokio::io::duplex(1 << 20);
    let server = BufWriter::with_capacity(1 << 20, server);
    let service =
        hyper_util::service::TowerToHyperService::new(layer.layer(inner(&Log::default())));
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(server), service)
        .with_upgrades();
    let mut client = Wire::of(client, connection);
    client.send(get(FOO)).await;
    let mut upstream = Upstream(opened.recv().await.unwrap());
    upstream.receive().await.is(&up("GET /x", "", "foo")).and_is_open();
    upstream.send(switching("foo") + "early").await;
    client.receive().await.is(&(switching("foo") + "early")).and_is_open();
    for length in [1, 1000, 70_000, 1 << 20] {
        let bytes = "x".repeat(length);
        upstream.send(&bytes).await;
        client.receive().await.is(&bytes).and_is_open();
        client.send(&bytes).await;
        upstream.receive().await.is(&bytes).and_is_open();
    }
    upstream.send("last").await;
    upstream.0.shutdown().await.unwrap();
    client.receive().await.is("last").and_ends();
    client.send("last").await;
    client.io.shutdown().await.unwrap();
    upstream.receive().await.is("last").and_ends();
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_closes_after_its_last_bytes_loses_none_of_them() {
    // Its client still sends, which nobody reads any more.
    let mut proxy = Proxy::new();
    let mut client = Wire::serve_with_buffer(proxy.layer.layer(inner(&proxy.inner)), 1024);
    client.send(get(FOO)).await;
    let mut upstream = proxy.upstream().await;
    upstream.send(switching("foo")).await;
    client.receive().await.is(&switching("foo"));
    let last = "x".repeat(500_000);
    upstream.send(&last).await;
    drop(upstream);
    settle().await;
    client.send("ping").await;
    settle().await;
    client.send("ping").await;
    client.io.shutdown().await.unwrap();
    let received = client.receive().await;
    assert_eq!((received.text.len(), received.ended), (last.len(), true));
    drop(client);
    settle().await;
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_after_its_last_bytes_loses_none_of_them() {
    // The upstream still sends, which nobody reads any more.
    let mut proxy = Proxy::with_buffer(1024, |tunnel| tunnel);
    let (mut client, mut upstream) = proxy.switched().await;
    let last = "x".repeat(500_000);
    client.send(&last).await;
    drop(client);
    settle().await;
    upstream.send("ping").await;
    settle().await;
    upstream.send("ping").await;
    let received = upstream.receive().await;
    assert_eq!((received.text.len(), received.ended), (last.len(), true));
    drop(upstream);
    settle().await;
    proxy.is_idle_after(&[]);
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_tunnel_are_counted() {
    // ENV-05
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.asked(get(FOO) + "early").await;
    upstream.send(switching("foo") + "NP").await;
    client.receive().await.is(&(switching("foo") + "NP"));
    upstream.send("more").await;
    client.receive().await.is("more");
    let [connection] = &proxy.connections.list()[..] else { panic!() };
    assert_eq!((connection.read(), connection.written()), (5, 6));
    assert_eq!((connection.path(), connection.protocol().name()), ("/x", "foo"));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_without_bytes_is_closed_after_its_idle_timeout() {
    // ENV-04
    let mut proxy = Proxy::with(|tunnel| tunnel.idle_timeout(Duration::from_secs(60)));
    let (mut client, mut upstream) = proxy.switched().await;
    let start = Instant::now();
    // Either direction will do.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        upstream.send("x").await;
        client.receive().await.is("x").and_is_open();
        tokio::time::sleep(Duration::from_secs(50)).await;
        client.send("x").await;
        upstream.receive().await.is("x").and_is_open();
    }
    assert_eq!(upstream.0.read(&mut [0]).await.unwrap(), 0);
    assert!((365..=368).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    client.receive().await.is("").and_ends();
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo Idle"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_ends_the_upstream() {
    let mut proxy = Proxy::new();
    let (client, mut upstream) = proxy.switched().await;
    drop(client);
    upstream.receive().await.is("").and_ends();
    upstream.0.write_all(b"x").await.ok();
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo Handler Client"]);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_gone_ends_the_client_and_is_not_asked_again() {
    // S-26, TRF-01
    let mut proxy = Proxy::new();
    let (mut client, upstream) = proxy.switched().await;
    drop(upstream);
    client.receive().await.is("").and_ends();
    client.io.write_all(b"x").await.ok();
    drop(client);
    settle().await;
    proxy.is_idle_after(&[]);
    proxy.has_not_connected();
}

#[tokio::test(start_paused = true)]
async fn an_aborted_tunnel_ends_the_upstream() {
    let mut proxy = Proxy::new();
    let (mut client, mut upstream) = proxy.switched().await;
    proxy.connections.list()[0].abort();
    client.receive().await.is("").and_ends();
    upstream.is_dropped().await;
    proxy.is_idle_after(&["foo Aborted"]);
}
