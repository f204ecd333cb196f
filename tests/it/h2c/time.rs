//! Connections that end because of the time, or because a response says so.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, header::CONNECTION};
use http_body_util::Full;
use tokio::{
    io::AsyncWriteExt,
    task::yield_now,
    time::{Instant, advance, sleep, sleep_until},
};
use tower::{Layer, service_fn};
use tower_upgrade::{
    UpgradeLayer,
    h2c::{H2c, RequestBody},
};

use super::{draining::answer_pings, support::*};
use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// Reads until the server closes its side, and returns the frames and after how many seconds that
/// was.
async fn end(client: &mut Client, start: Instant) -> (Vec<String>, u64) {
    let mut frames = Vec::new();
    while !client.ended {
        frames.extend(client.exchange("").await);
    }
    (frames, start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_preface_is_dropped() {
    // TOM-13, TOM-14
    for sent in [0, 1, 23, 24, 25, 32] {
        for limit in [3, 10] {
            let log = Log::default();
            let layer = layer(&log).handshake_timeout(limit * SECOND);
            let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
            let start = Instant::now();
            assert_eq!(client.upgrade(get(&offer())).await, ANSWERED);
            client.send(&preface()[..sent]).await;
            assert_eq!(end(&mut client, start).await, (vec![], u64::from(limit)), "{sent}");
            // The client is waited for, and does not come.
            assert_eq!(layer.connections().active(), 1);
            sleep(6 * SECOND).await;
            assert_eq!(layer.connections().active(), 0);
            let failure = "failed h2c Handler: the upgraded connection ended with an error: \
                the client's HTTP/2 preface did not come within the handshake timeout";
            assert!(client.log.has(failure), "{:?}", client.log);
        }
    }
    // With the preface it may be silent as long as it likes.
    let mut client = Client::connect();
    client.upgrade([get(&offer()).as_bytes(), &preface()].concat()).await;
    sleep(100_000 * SECOND).await;
    assert_eq!(client.exchange(request_on(3, "/")).await, ["HEADERS 3 200", "DATA 3 2 END"]);
}

fn limited(idle: Option<u32>, age: Option<u32>) -> Client {
    Client::connect_to(|log| {
        let mut h2c = H2c::new(app(log));
        if let Some(idle) = idle {
            h2c = h2c.idle_timeout(idle * SECOND);
        }
        if let Some(age) = age {
            h2c = h2c.max_age(age * SECOND);
        }
        h2c
    })
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_stream_ends_with_goaway() {
    let mut client = limited(Some(20), None);
    client.upgrade(get(&offer())).await;
    client.exchange(preface()).await;
    let start = Instant::now();
    sleep(15 * SECOND).await;
    // A stream is not idle, however long it takes, and frames without a stream do not count.
    let log = client.log.clone();
    client.exchange(request_on(3, "/never")).await;
    sleep_until(start + 60 * SECOND).await;
    client.send(rst_stream(3)).await;
    settle().await;
    assert!(log.has("dropped"));
    sleep_until(start + 79 * SECOND).await;
    assert_eq!(client.exchange(frame(6, 0, 0, &[7; 8])).await, ["PING"]);
    let frames = client.exchange("").await;
    assert_eq!(frames, ["GOAWAY 2147483647 NO_ERROR", "PING"]);
    assert_eq!(start.elapsed().as_secs(), 81);
    let frames = answer_pings(&mut client, frames).await;
    assert_eq!(frames.last().unwrap(), "GOAWAY 3 NO_ERROR");
    assert!(client.ended);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_ends_with_goaway_and_its_streams_go_on() {
    let mut client = limited(None, Some(30));
    client.upgrade(request("GET /long HTTP/1.1", &offer())).await;
    client.exchange(preface()).await;
    let start = Instant::now();
    sleep(31 * SECOND).await;
    let frames = client.exchange("").await;
    assert_eq!(frames, ["GOAWAY 2147483647 NO_ERROR", "PING"]);
    answer_pings(&mut client, frames).await;
    assert!(!client.ended);
    sleep(1_000 * SECOND).await;
    let frames = client.exchange(window_update(0, 100_000)).await;
    assert!(frames.iter().any(|frame| frame.ends_with(" END")), "{frames:?}");
    assert!(client.ended && start.elapsed().as_secs() > 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_goaway_is_given_up() {
    let mut client = limited(Some(20), None);
    let start = Instant::now();
    client.upgrade(get(&offer())).await;
    client.send(preface()).await;
    let (frames, seconds) = end(&mut client, start).await;
    assert_eq!(frames, ["SETTINGS ACK", "GOAWAY 2147483647 NO_ERROR", "PING"]);
    assert_eq!(seconds, 25);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_stops_sending_does_not_outlast_the_age() {
    // HTTP/2 always has frames to read, and uses up what tokio lets a task do at a time.
    let log = Log::default();
    let layer = UpgradeLayer::new().on("h2c", H2c::new(app(&log)).max_age(30 * SECOND));
    let mut wire = Wire::serve_with_buffer(layer.layer(http1(app(&log))), 1 << 22);
    wire.exchange([get(&offer()).as_bytes(), &preface()].concat()).await;
    // Frames of a type that is not known, which are ignored.
    let frames = frame(0xfa, 0, 0, &[0; 1000]).repeat(1 << 10);
    let flood = tokio::spawn(async move { while wire.io.write_all(&frames).await.is_ok() {} });
    // The age; then for a client that does not answer GOAWAY; and for one that does not close.
    for seconds in [31, 6, 6] {
        advance(seconds * SECOND).await;
        for _ in 0..20 {
            yield_now().await;
        }
    }
    assert_eq!((flood.is_finished(), layer.connections().active()), (true, 0));
}

/// Answers with `Connection: close`, in the way that the path says.
async fn closing(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::from("ok"));
    let value = match request.uri().path() {
        "/close" => "close",
        "/list" => "x-hop, Close",
        _ => "keep-alive",
    };
    response.headers_mut().insert(CONNECTION, value.parse().unwrap());
    Ok(response)
}

#[tokio::test(start_paused = true)]
async fn connection_close_on_a_response_ends_the_connection_with_goaway() {
    for first in ["/close", "/list"] {
        let service = service_fn(closing);
        let layer = UpgradeLayer::new().on("h2c", H2c::new(service));
        let connect = || Client::to(Wire::serve(layer.layer(http1(service))), Log::default());
        // On stream 1, and on another, while a third one is open.
        let mut client = connect();
        let bytes = request(&format!("GET {first} HTTP/1.1"), &offer());
        let bytes = [bytes.as_bytes(), &preface()].concat();
        let frames = client.upgrade(bytes).await;
        assert!(frames.contains(&"GOAWAY 2147483647 NO_ERROR".into()), "{frames:?}");
        assert!(frames.contains(&"DATA 1 2 END".into()), "{frames:?}");
        answer_pings(&mut client, frames).await;
        assert!(client.ended);

        let mut client = connect();
        client.upgrade(get(&offer())).await;
        let frames = client.exchange([preface(), request_on(3, "/x")].concat()).await;
        assert!(!frames.iter().any(|frame| frame.starts_with("GOAWAY")), "{frames:?}");
        let bytes = [request_on(5, first), request_on(7, "/x")].concat();
        let frames = client.exchange(bytes).await;
        for stream in [5, 7] {
            assert!(frames.contains(&format!("DATA {stream} 2 END")), "{frames:?}");
        }
        let frames = answer_pings(&mut client, frames).await;
        assert_eq!(frames.last().unwrap(), "GOAWAY 7 NO_ERROR");
        assert!(client.ended);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_not_idle() {
    let mut client = limited(Some(20), None);
    client.upgrade(get(&offer())).await;
    let connect = [literal(0x02, b"CONNECT"), literal(0x01, b"a.test:80")].concat();
    let frames = client.exchange([preface(), frame(1, 0x4, 3, &connect)].concat()).await;
    assert!(frames.contains(&"HEADERS 3 200".into()), "{frames:?}");
    sleep(1_000 * SECOND).await;
    assert_eq!(client.exchange("").await, [] as [&str; 0]);
    assert!(!client.ended);
}
