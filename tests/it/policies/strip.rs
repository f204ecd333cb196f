//! `strip`: nothing that is forwarded asks for an upgrade.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::upgrade::OnUpgrade;
use tower::{Layer, service_fn};
use tower_upgrade::UpgradeLayer;

use crate::{extended_connect::support, support::*};

/// Logs the headers that the inner service of a layer gets, and whether it has hyper's `OnUpgrade`.
fn stripped(log: &Log, layer: &UpgradeLayer) -> Wire {
    let log = log.clone();
    let inner = service_fn(move |request: Request<hyper::body::Incoming>| {
        let lines: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let upgradable = request.extensions().get::<OnUpgrade>().is_some();
        log.push(format!("{}{}", lines.join("|"), if upgradable { " upgradable" } else { "" }));
        async {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(Response::new(Full::from(body)))
        }
    });
    Wire::serve(layer.layer(inner))
}

#[tokio::test(start_paused = true)]
async fn strip_forwards_no_part_of_an_upgrade() {
    // S-3, S-4, S-23, R9110-7.6.1-03, R9110-7.6.1-04: also if `HTTP2-Settings` is not named.
    for (headers, forwarded) in [
        ("A: 1\r\n", "a: 1"),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nA: 1\r\n",
            "a: 1",
        ),
        ("Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nA: 1\r\n", "a: 1"),
        ("Upgrade: foo, h2c\r\nA: 1\r\nUpgrade: bar\r\nB: 2\r\n", "a: 1|b: 2"),
        ("A: 1\r\nHTTP2-Settings: AAMA\r\nB: 2\r\n", "a: 1|b: 2"),
        (
            "Connection: upgrade, x-real-ip\r\nX-Real-IP: ::1\r\nUpgrade: nope\r\n",
            "connection: x-real-ip|x-real-ip: ::1",
        ),
        ("Connection: upgrade\r\nConnection: close\r\nUpgrade: foo bar\r\n", "connection: close"),
    ] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on("foo", echo(&log, "foo")).strip();
        stripped(&log, &layer).exchange(get(headers)).await.starts_with("HTTP/1.1 200 OK\r\n");
        let host_first = format!("host: a.test|{forwarded}");
        assert_eq!(log.take(), [host_first], "{headers}");
    }
}

#[tokio::test(start_paused = true)]
async fn strip_keeps_bodies_and_pipelined_requests() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo", echo(&log, "foo")).strip();
    let bytes = String::from_utf8(offering("Content-Length: 5\r\n", "hello")).unwrap() + &get("");
    let received = stripped(&log, &layer).exchange(bytes).await;
    received.starts_with("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n");
    assert_eq!(log.take(), ["host: a.test|content-length: 5", "host: a.test"]);
}

#[tokio::test(start_paused = true)]
async fn strip_takes_hypers_promise_from_connect_too() {
    let log = Log::default();
    let layer = UpgradeLayer::new().strip();
    stripped(&log, &layer).exchange(request("CONNECT a.test:443 HTTP/1.1", "")).await;
    assert_eq!(log.take(), ["host: a.test"]);
}

#[tokio::test(start_paused = true)]
async fn strip_leaves_an_offer_to_the_handler_and_to_an_inner_service_that_is_asked() {
    let log = Log::default();
    // S-3, S-4: it sees the offer that it is asked about, and no other.
    let layer = UpgradeLayer::new().on("foo", echo(&log, "foo")).on_inner("bar").strip();
    stripped(&log, &layer).exchange(get(FOO)).await.is(&switching("foo"));
    settle().await;
    log.take();
    for offer in ["bar", "x, Bar, h2c"] {
        let lines = "Connection: Upgrade, HTTP2-Settings, a\r\nHTTP2-Settings: AAMA\r\n";
        stripped(&log, &layer).exchange(get(&format!("{lines}Upgrade: {offer}\r\n"))).await;
        let expected = "host: a.test|connection: upgrade|connection: a|upgrade: bar upgradable";
        assert_eq!(log.take(), [expected]);
    }
}

/// S-3, S-4: a client adds the token that the inner service is asked about, and the rest of its offer goes
/// on to the other server.
#[tokio::test(start_paused = true)]
async fn strip_lets_no_h2c_through_beside_a_protocol_that_the_inner_service_is_asked_about() {
    let log = Log::default();
    let seen = log.clone();
    let proxy = service_fn(move |request: Request<hyper::body::Incoming>| {
        seen.push(format!("{:?}", request.headers()));
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("a page"))) }
    });
    let mut wire = Wire::serve(UpgradeLayer::new().on_inner("websocket").strip().layer(proxy));
    let offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\n\
                 HTTP2-Settings: AAMAAABk\r\n";
    wire.exchange(get(offer)).await;
    let head = log.take().concat();
    assert!(!head.contains("h2c") && !head.contains("http2-settings"), "{head}");
}

/// S-3, S-6: an inner service that sends requests on may relay a 101 of the other server. Stripped, the
/// other server was not asked for one, and no task holds the connection.
#[tokio::test(start_paused = true)]
async fn a_101_that_an_inner_service_relays_opens_no_tunnel() {
    let relay = service_fn(async |request: Request<hyper::body::Incoming>| {
        assert!(request.extensions().get::<OnUpgrade>().is_none());
        let response = Response::builder().status(101).header("upgrade", "h2c");
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let mut wire = Wire::serve(UpgradeLayer::new().strip().layer(relay));
    let offer = "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n";
    let received = wire.exchange(get(offer) + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    received.ends_with("upgrade: h2c\r\n\r\n").and_ends();
}

/// S-3, in HTTP/2: a reverse proxy on hyper's client would send the `:protocol` on.
#[tokio::test(start_paused = true)]
async fn an_extended_connect_that_no_handler_accepts_is_answered_and_not_forwarded() {
    // R9220-3-01
    for extended in [false, true] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on("foo", echo(&log, "foo")).strip();
        let layer = if extended { layer.extended_connect() } else { layer };
        let mut client = support::Client::serve(layer.layer(inner(&log))).await;
        let answer = client.connect("nope").await;
        assert_eq!((answer.status.as_u16(), log.count("inner")), (501, 0));
        assert_eq!(client.connect("foo").await.status, if extended { 200 } else { 501 });
        // A plain request is forwarded.
        client.send(Request::get("http://a.test/x").body(()).unwrap()).await;
        assert_eq!(log.count("inner"), 1);
    }
}
