//! The end of a connection that the server wants to end.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{io::AsyncWriteExt, time::Instant};
use tower::{Layer, service_fn};
use tower_upgrade::{
    Connections, UpgradeHandler, UpgradeLayer,
    h2c::{H2c, RequestBody},
};

use super::support::*;
use crate::support::*;

/// Answers each PING of the server, as a client of HTTP/2 does, until there is none.
pub(super) async fn answer_pings(client: &mut Client, mut frames: Vec<String>) -> Vec<String> {
    let mut all = frames.clone();
    while frames.iter().any(|frame| frame == "PING") {
        let pong = frame(6, 1, 0, &SHUTDOWN_PING);
        frames = client.exchange(pong).await;
        all.extend(frames.clone());
    }
    all
}

/// The data of h2's PING in a graceful shutdown.
const SHUTDOWN_PING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

#[tokio::test(start_paused = true)]
async fn a_drain_sends_goaway_and_lets_streams_end() {
    let log = Log::default();
    let layer = layer(&log);
    let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
    client.upgrade(get(&offer())).await;
    // A stream whose answer does not fit into the client's window.
    let bytes = [preface(), request_on(3, "/long")].concat();
    client.exchange(bytes).await;

    layer.connections().drain();
    let frames = client.exchange("").await;
    assert_eq!(frames, ["GOAWAY 2147483647 NO_ERROR", "PING"]);
    let frames = answer_pings(&mut client, frames).await;
    assert_eq!(frames.last().unwrap(), "GOAWAY 3 NO_ERROR");
    assert!(!client.ended);
    let bytes = [window_update(0, 100_000), window_update(3, 100_000)].concat();
    let frames = client.exchange(bytes).await;
    assert!(frames.iter().any(|frame| frame.starts_with("DATA 3 ") && frame.ends_with(" END")));
    assert!(client.ended, "{frames:?}");
    // The connection has ended when the client's side is closed too.
    assert_eq!(layer.connections().active(), 1);
    client.leave().await;
    assert_eq!(layer.connections().active(), 0);
    assert_eq!(client.log.count("failed"), 0, "{:?}", client.log);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_with_the_drain() {
    let log = Log::default();
    let layer = layer(&log);
    let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
    client.upgrade(get(&offer())).await;
    client.exchange(preface()).await;
    layer.connections().drain();
    let frames = client.exchange("").await;
    let frames = answer_pings(&mut client, frames).await;
    assert_eq!(frames.last().unwrap(), "GOAWAY 1 NO_ERROR");
    assert!(client.ended);
    client.leave().await;
    assert_eq!(layer.connections().active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_ends_is_aborted_at_the_deadline() {
    let log = Log::default();
    let layer = layer(&log);
    let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
    client.upgrade(get(&offer())).await;
    client.exchange([preface(), request_on(3, "/never")].concat()).await;
    let shutdown = layer.connections().shutdown(Duration::from_secs(10)).await;
    assert_eq!((shutdown.finished, shutdown.aborted), (0, 1));
    client.exchange("").await;
    assert!(client.ended);
    assert!(client.log.has("dropped"), "the stream's future is gone as well");
    assert_eq!(client.log.count("failed h2c Aborted"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_forwarded_when_there_is_no_place() {
    // Every request of Java's client and of `curl --http2` has one, and HTTP/1.1 will do.
    for is_draining in [true, false] {
        let log = Log::default();
        let layer = layer(&log).max_connections(0).on("foo", echo(&log, "foo"));
        if is_draining {
            layer.connections().drain();
        }
        let mut wire = Wire::serve(layer.layer(http1(app(&log))));
        let lines = format!("{}Content-Length: 5\r\n", offer());
        let bytes = request("POST /x HTTP/1.1", &lines) + "hello";
        wire.exchange(bytes).await.is(OK).and_is_open();
        assert_eq!(log.take(), ["POST /x HTTP/1.1 \"hello\""]);
        let stats = layer.connections().stats();
        assert_eq!((stats.declined.capacity, stats.drained, stats.at_capacity), (1, 0, 0));
        // Other protocols are refused as ever.
        wire.exchange(get(FOO)).await.starts_with("HTTP/1.1 503");
    }
}

#[tokio::test(start_paused = true)]
async fn what_narrows_a_handler_leaves_it_optional() {
    let h2c = || H2c::new(app(&Log::default()));
    assert!(h2c().is_optional());
    assert!(h2c().when(|_head| true).is_optional());
    assert!(h2c().with_body_limit(1).is_optional());
    assert!(!echo(&Log::default(), "foo").is_optional());
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_an_end_ends_with_the_drain_if_it_waits_for_it() {
    let connections = Connections::new();
    let waits = connections.clone();
    let service = service_fn(move |request: Request<RequestBody>| {
        let draining = waits.draining();
        async move {
            if request.uri().path() == "/endless" {
                draining.await;
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        }
    });
    let layer = UpgradeLayer::new()
        .with_connections(connections.clone())
        .on("h2c", H2c::new(service.clone()));
    let mut client = Client::to(Wire::serve(layer.layer(http1(service))), Log::default());
    client.upgrade(get(&offer())).await;
    let frames = client.exchange([preface(), request_on(3, "/endless")].concat()).await;
    assert_eq!(frames, ["SETTINGS ACK"]);
    connections.drain();
    let frames = client.exchange("").await;
    let frames = answer_pings(&mut client, frames).await;
    assert!(frames.iter().any(|frame| frame == "DATA 3 2 END"), "{frames:?}");
    assert!(client.ended);
    client.leave().await;
    assert_eq!(connections.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_until_the_client_has_everything() {
    for leaves in [true, false] {
        let log = Log::default();
        let layer = layer(&log);
        let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
        client.upgrade(get(&offer())).await;
        client.exchange(preface()).await;
        let connections = layer.connections();
        let start = Instant::now();
        let shutdown =
            tokio::spawn(async move { connections.shutdown(Duration::from_secs(30)).await });
        let frames = client.exchange("").await;
        answer_pings(&mut client, frames).await;
        assert!(client.ended && !shutdown.is_finished());
        if leaves {
            client.leave().await;
        }
        let shutdown = shutdown.await.unwrap();
        assert_eq!((shutdown.finished, shutdown.aborted), (1, 0));
        // A client that does not close its side holds a shutdown up for five seconds.
        let expected = if leaves { 1..4 } else { 6..8 };
        assert!(expected.contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_behind_goaway_does_not_hold_the_place() {
    let log = Log::default();
    let layer = layer(&log);
    let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
    client.upgrade(get(&offer())).await;
    client.exchange(preface()).await;
    layer.connections().drain();
    let frames = client.exchange("").await;
    answer_pings(&mut client, frames).await;
    assert!(client.ended);
    let start = Instant::now();
    let flood = tokio::spawn(async move {
        while client.wire.io.write_all(&[b'x'; 10_000]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    layer.connections().drained().await;
    assert!(start.elapsed() <= Duration::from_secs(5), "{:?}", start.elapsed());
    flood.await.unwrap();
}
