//! Clients that break the rules, vanish or never stop: what they get, and that they are given up.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_LENGTH};
use http_body_util::Full;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};
use tower::{Layer, service_fn};
use tower_upgrade::{
    UpgradeLayer,
    h2c::{H2c, RequestBody},
};

use super::support::*;
use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);
const SHUTDOWN_PING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

#[tokio::test(start_paused = true)]
async fn a_client_that_says_anything_behind_goaway_and_is_silent_then_is_given_up() {
    // It was left to HTTP/2, which waits for the answer to its PING without a limit.
    for late in [window_update(0, 1), frame(6, 1, 0, &[1; 8]), vec![0]] {
        for is_drain in [true, false] {
            let log = Log::default();
            let h2c = H2c::new(app(&log)).idle_timeout(20 * SECOND);
            let layer = UpgradeLayer::new().on("h2c", h2c);
            let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
            client.upgrade([get(&offer()).as_bytes(), &preface()].concat()).await;
            if is_drain {
                layer.connections().drain();
            } else {
                sleep(20 * SECOND).await;
            }
            let start = Instant::now();
            let frames = client.exchange("").await;
            assert_eq!(frames, ["GOAWAY 2147483647 NO_ERROR", "PING"]);
            client.exchange(late.clone()).await;
            sleep(30 * SECOND).await;
            assert_eq!(layer.connections().active(), 0, "{is_drain} {:?}", start.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dead_with_bytes_under_way_is_given_up() {
    let log = Log::default();
    let layer = layer(&log);
    let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
    client.upgrade([get(&offer_with("AAR_____")).as_bytes(), &preface()].concat()).await;
    // More than the pipe holds.
    client.send(window_update(0, 1 << 30)).await;
    for n in 0..20 {
        client.send(request_on(3 + 2 * n, "/long")).await;
    }
    settle().await;
    layer.connections().drain();
    sleep(600 * SECOND).await;
    assert_eq!(layer.connections().active(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_sent_is_not_idle() {
    // hyper drops the body when HTTP/2 has taken it, and the client's window is closed.
    let mut client = Client::connect_to(|log| H2c::new(app(log)).idle_timeout(20 * SECOND));
    client.upgrade(request("GET /long HTTP/1.1", &offer())).await;
    client.exchange(preface()).await;
    sleep(100 * SECOND).await;
    assert_eq!(client.exchange("").await, [] as [&str; 0]);
    assert!(!client.ended);
    let frames = client.exchange(window_update(0, 100_000)).await;
    assert!(frames.iter().any(|frame| frame.ends_with(" END")), "{frames:?}");
    sleep(20 * SECOND).await;
    let frames = client.exchange("").await;
    assert_eq!(frames, ["GOAWAY 2147483647 NO_ERROR", "PING"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_pauses_gets_an_answer_behind_a_drain() {
    let log = Log::default();
    let layer = layer(&log);
    let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
    client.upgrade(request("GET /long HTTP/1.1", &offer())).await;
    client.exchange(preface()).await;
    layer.connections().drain();
    client.exchange("").await;
    client.exchange(frame(6, 1, 0, &SHUTDOWN_PING)).await;
    sleep(60 * SECOND).await;
    let frames = client.exchange(window_update(0, 100_000)).await;
    assert!(frames.iter().any(|frame| frame.ends_with(" END")), "{frames:?}");
}

#[tokio::test(start_paused = true)]
async fn a_204_has_no_length() {
    let service = service_fn(|_request: Request<RequestBody>| async {
        let response = Response::builder().status(204).header(CONTENT_LENGTH, 5);
        Ok::<_, Infallible>(response.body(Full::<Bytes>::from("hello")).unwrap())
    });
    let layer = UpgradeLayer::new().on("h2c", H2c::new(service));
    let mut client = Client::to(Wire::serve(layer.layer(http1(service))), Log::default());
    client.send(get(&offer())).await;
    let (bytes, _) = client.wire.receive_bytes().await;
    let headers = bytes.windows(9).position(|head| head[3..] == [1, 5, 0, 0, 0, 1]).unwrap();
    // content-length is 28 in the static table, and not indexed.
    assert!(
        !bytes[headers + 9..].windows(2).any(|name| name == [0x0f, 0x0d]),
        "{:x?}",
        &bytes[headers..]
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ignores_goaway_cannot_go_on_for_ever() {
    // Until the client answers a PING, h2 takes new streams.
    for is_trickle in [true, false] {
        let log = Log::default();
        let layer = layer(&log);
        let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
        client.upgrade([get(&offer()).as_bytes(), &preface()].concat()).await;
        layer.connections().drain();
        for n in 0..40 {
            let bytes =
                if is_trickle { frame(6, 0, 0, &[1; 8]) } else { request_on(3 + 2 * n, "/") };
            if client.wire.io.write_all(&bytes).await.is_err() {
                break;
            }
            sleep(3 * SECOND).await;
        }
        client.leave().await;
        sleep(6 * SECOND).await;
        assert!(client.log.count("GET") < 10);
        assert_eq!(layer.connections().active(), 0, "{is_trickle}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_is_still_read_is_not_idle() {
    // Answered early, with the body in a task of its own.
    let log = Log::default();
    let bodies = log.clone();
    let service = service_fn(move |request: Request<RequestBody>| {
        let log = bodies.clone();
        tokio::spawn(async move {
            let body = http_body_util::BodyExt::collect(request.into_body()).await;
            log.push(format!("{:?}", body.map(|body| body.to_bytes().len()).ok()));
        });
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))))
    });
    let layer = UpgradeLayer::new().on("h2c", H2c::new(service.clone()));
    let mut client = Client::to(Wire::serve(layer.layer(http1(service))), log);
    client.upgrade([get(&offer()).as_bytes(), &preface()].concat()).await;
    client.log.take();
    let mut head = request_on(3, "/");
    head[4] = 4;
    client.exchange(head).await;
    layer.connections().drain();
    client.exchange("").await;
    client.exchange(frame(6, 1, 0, &SHUTDOWN_PING)).await;
    sleep(100 * SECOND).await;
    client.exchange(frame(0, 1, 3, b"late")).await;
    assert_eq!(client.log.take(), ["Some(4)"]);
    client.leave().await;
    sleep(6 * SECOND).await;
    assert_eq!(layer.connections().active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_tunnel_that_does_not_answer_goaway_is_given_up() {
    // Any client of a service that answers every method could keep its place.
    let log = Log::default();
    let layer = layer(&log);
    let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
    client.upgrade([get(&offer()).as_bytes(), &preface()].concat()).await;
    let connect = [literal(0x02, b"CONNECT"), literal(0x01, b"a.test:80")].concat();
    client.exchange(frame(1, 0x4, 3, &connect)).await;
    layer.connections().drain();
    sleep(30 * SECOND).await;
    assert_eq!(layer.connections().active(), 0);
}

/// Random clients: whatever they do, the request comes to the service once, and no other stream
/// gets its answer.
#[tokio::test(start_paused = true)]
async fn random_clients_get_one_answer_on_stream_1() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let settings = [
        "AAMAAAAA",
        "AAYAAAAA",
        "AAQAAAAA",
        "AAEAAAAA",
        "AAYAAAABAAQAAAAB",
        "AAgAAAAB",
        "AAUA____",
        CURL,
        "AAQAAAAAAAMAAAAAAAYAAAAAAAEAAAAA",
    ];
    for round in 0..1_500 {
        let mut client = Client::connect();
        let mut next = 3;
        let mut resets = false;
        let mut bytes = preface();
        if random(8) == 0 {
            bytes = PREFACE.to_vec();
            bytes.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]));
        }
        for _ in 0..random(12) {
            bytes.extend(match random(16) {
                0 => {
                    resets = true;
                    rst_stream(1)
                }
                1 => frame(7, 0, 0, &[0; 8]),
                2 => frame(2, 0, 1, &[0, 0, 0, 3, 1]),
                3 => {
                    resets = true;
                    frame(0, 1, 1, b"x")
                }
                4 => {
                    resets = true;
                    request_on(1, "/one")
                }
                5 => frame(6, 0, 0, &[9; 8]),
                6 => frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]),
                7 => frame(4, 0, 0, &[0, 4, 0, 1, 0, 0]),
                8 => {
                    resets = true;
                    window_update(1, 0x7fff_ffff)
                }
                9 => window_update(1, 10),
                10 => {
                    next += 2;
                    rst_stream(next - 2)
                }
                11 => {
                    next += 2;
                    frame(1, 0x4, next - 2, &request_on(0, "/y")[9..])
                }
                12 => frame(6, 1, 0, &SHUTDOWN_PING),
                _ => {
                    next += 2;
                    request_on(next - 2, "/y")
                }
            });
        }
        let head = request("GET /x HTTP/1.1", &offer_with(settings[random(settings.len())]));
        let all = [head.as_bytes(), &bytes].concat();
        let first = random(all.len() + 1);
        client.send(&all[..first]).await;
        settle().await;
        let second = first + random(all.len() - first + 1);
        let _sent = client.wire.io.write_all(&all[first..second]).await;
        if random(2) == 0 {
            settle().await;
        }
        let _sent = client.wire.io.write_all(&all[second..]).await;
        let mut frames = client.upgrade("").await;
        while random(4) > 0 && !client.ended {
            let _sent = client.wire.io.write_all(&window_update(1, 5)).await;
            frames.extend(client.exchange("").await);
        }
        let answers = frames.iter().filter(|frame| frame.starts_with("HEADERS 1 ")).count();
        let ended =
            frames.iter().any(|frame| frame.starts_with("GOAWAY") && !frame.ends_with("NO_ERROR"));
        assert!(answers == 1 || answers == 0 && (resets || ended), "{round} {frames:?}");
        let started = client.log.count("GET http://a.test/x HTTP/2.0");
        assert!(
            started == 1 || started == 0 && (resets || ended),
            "{round} {frames:?} {:?}",
            client.log
        );
        assert_eq!(client.log.count("/one"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_at_any_time_loses_no_answer() {
    let early = [preface(), request_on(3, "/y"), request_on(5, "/long")].concat();
    let lines = format!("{}Content-Length: 5\r\n", offer());
    let head = request("POST /x HTTP/1.1", &lines) + "hello";
    let bytes = [head.as_bytes(), &early].concat();
    for at in (1..=bytes.len()).step_by(3).chain([head.len(), head.len() - 1, bytes.len()]) {
        for connections in 0..2 {
            let log = Log::default();
            let mut h2c = H2c::new(app(&log));
            if connections == 1 {
                h2c = h2c.idle_timeout(Duration::ZERO);
            }
            let layer = UpgradeLayer::new().on("h2c", h2c);
            let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
            client.send(&bytes[..at]).await;
            settle().await;
            if at + 5 < head.len() {
                continue;
            }
            layer.connections().drain();
            client.send(&bytes[at..]).await;
            let frames = client.upgrade("").await;
            for wanted in ["HEADERS 1 200", "DATA 1 2 END", "HEADERS 3 200", "HEADERS 5 200"] {
                let count = frames.iter().filter(|&frame| frame == wanted).count();
                assert_eq!(count, 1, "{at} {connections} {wanted} {frames:?}");
            }
            client.exchange(frame(6, 1, 0, &SHUTDOWN_PING)).await;
            sleep(20 * SECOND).await;
            let frames = client.exchange(window_update(0, 100_000)).await;
            let frames = [frames, client.exchange(window_update(5, 100_000)).await].concat();
            assert!(
                frames.iter().any(|f| f.starts_with("DATA 5") && f.ends_with(" END")),
                "{frames:?}"
            );
            client.leave().await;
            assert_eq!(layer.connections().active(), 0);
        }
    }
}
