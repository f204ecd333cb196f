//! The generic cases that other servers test, and some that none of them tests. Cases about WebSocket
//! or HTTP/2 frames are not generic.
//!
//! `offers.rs` has these already: NET-03 as P-21, TOM-07, TOM-08, TOM-09 as P-06, TOM-10 as P-15,
//! TOM-12 as P-47, VTX-16 as P-03, VTX-24, and of the cases that no peer tests 1 as P-45, 2 as
//! P-20, P-46 and P-13, 3 as P-05, 4 in `handlers_are_asked_until_one_accepts`, 8 as P-26.
//! `security.rs` has the cases 7 as S-11, 9 as S-14, 10 as S-6 and 15 as S-19.
//!
//! KES-01, KES-03 and KES-07 call methods that this crate does not have: a handler gets neither the
//! response nor a way to ask for the connection. KES-08 and case 14 are in `places.rs`, KES-10 and
//! case 13 in `shutdown.rs`.
//!
//! NET-18 to NET-23 are about clients, and this crate makes no connections. NET-07, NET-11, NET-13
//! and VTX-20 to VTX-23 are about telling HTTP/2 from HTTP/1.1 by the first bytes, which the
//! server below does, hyper-util's `auto` for one. VTX-12 is about TLS, which a layer does not see:
//! the application decides, by registering a handler. VTX-03 is VTX-02 with compression, a layer of its own.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tower::{Layer, service_fn};
use tower_upgrade::{UpgradeHandler, UpgradeLayer};

use crate::support::*;

/// The fixture with an inner service that logs the request before it reads the body.
fn connect_to_streaming(log: &Log) -> Wire {
    let seen = log.clone();
    let layer = UpgradeLayer::new().on("foo", echo(log, "foo").when(|_| false));
    Wire::serve(layer.layer(service_fn(move |request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let [connection, upgrade] =
                ["connection", "upgrade"].map(|name| request.headers()[name].clone());
            seen.push(format!("asked with {connection:?} and {upgrade:?}"));
            let body = request.into_body().collect().await.unwrap().to_bytes();
            seen.push(format!("read {body:?}"));
            Ok::<_, Infallible>(Response::new(Full::from(body)))
        }
    })))
}

#[tokio::test(start_paused = true)]
async fn a_101_has_the_two_headers_of_the_switch_and_no_length() {
    // NET-01
    let log = Log::default();
    let layer = UpgradeLayer::new().on("nextprotocol", echo(&log, "next"));
    let headers = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: nextprotocol\r\n\
                 HTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(request("GET / HTTP/1.1", headers)).await.is(&switching("nextprotocol"));
    // The first bytes of the new protocol are not read as HTTP, however late they come.
    wire.exchange("GET / HTTP/1.1\r\n\r\n").await.is("[GET / HTTP/1.1\r\n\r\n]").and_is_open();
    assert_eq!(log.count("inner"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_handler_accepts_is_forwarded_before_its_body_arrives() {
    // NET-02
    let log = Log::default();
    let mut wire = connect_to_streaming(&log);
    wire.exchange(post(&format!("{FOO}Content-Length: 10\r\n"), "hello")).await.is("");
    assert_eq!(log.take(), ["asked with \"upgrade\" and \"foo\""]);
    wire.exchange("world").await.ends_with("\r\n\r\nhelloworld").and_is_open();
    assert_eq!(log.take(), ["read b\"helloworld\""]);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_is_still_possible_after_half_an_offer_and_after_a_plain_request() {
    // NET-04 and NET-12. Netty has an option to stop looking after the first request of a
    // connection; an offer may stand on any request (RFC 9110 §7.8), so this crate always looks.
    let log = Log::default();
    let mut wire = connect(&log);
    wire.exchange(get("Upgrade: h2c\r\n")).await.is(OK).and_is_open();
    wire.exchange(get("")).await.is(OK).and_is_open();
    wire.exchange(get(&format!("{CU}Upgrade: h2c\r\n")) + "NP")
        .await
        .is(&(switching("h2c") + "[NP]"));
    let inner = ["inner GET /x \"\" upgradable", "inner GET /x \"\""];
    assert_eq!(log.take()[..2], inner);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_expectation_is_left_to_the_inner_service() {
    // NET-05, R9110-10.1.1-06
    let next = request("GET /2 HTTP/1.1", "Content-Length: 0\r\n");
    let (received, log) = exchange(get("Expect: foo\r\nUpgrade: h2c\r\n") + &next).await;
    received.is(&OK.repeat(2)).and_is_open();
    assert_eq!(log.take(), ["inner GET /x \"\" upgradable", "inner GET /2 \"\""]);

    let (received, log) = exchange(get(&format!("Expect: foo\r\n{FOO}")) + &next).await;
    received.is(&format!("{}[{next}]", switching("foo"))).and_is_open();
    assert_eq!(log.count("inner"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_in_the_middle_of_its_body_is_left_to_the_inner_service() {
    // NET-06
    let bytes = "POST / HTTP/1.1\nHost: a\nUpgrade:\nConnection: upgrade\nExpect:\n\
                  Content-Length: 8\n\nhello";
    let log = Log::default();
    let mut wire = connect(&log);
    wire.send(bytes).await;
    wire.io.shutdown().await.unwrap();
    wire.receive().await.and_ends();
    let events = log.take();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("inner broke"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_goes_to_the_handler_and_never_to_the_protocol() {
    // VTX-13 and VTX-14, KES-02, P-52, P-58, R9110-7.8-16: with a body and without, in one piece
    // and in two, wherever they part.
    for (body, asked) in [("", "foo asked \"\""), ("the-payload", "foo asked \"the-payload\"")] {
        let headers = format!("{FOO}Content-Length: {}\r\n", body.len());
        let bytes = post(&headers, body) + "ping";
        for at in 0..bytes.len() - 4 {
            let log = Log::default();
            let mut wire = connect_with_limit(&log, 11);
            let received = wire.exchange_split(bytes.as_bytes(), at).await;
            received.is(&(switching("foo") + "[ping]")).and_is_open();
            wire.exchange("pong").await.is("[pong]").and_is_open();
            assert_eq!(
                log.take(),
                [asked, "foo runs foo", "foo reads \"ping\"", "foo reads \"pong\""],
                "split at {at}",
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_handler_waits_for_a_late_body() {
    // VTX-11
    let log = Log::default();
    let mut wire = connect_with_limit(&log, 10);
    wire.exchange(post(&format!("{FOO}Content-Length: 10\r\n"), "")).await.is("");
    for byte in ["h", "e", "l", "l", "o", "w", "o", "r", "l"] {
        wire.exchange(byte).await.is("").and_is_open();
    }
    assert_eq!(log.take(), [""; 0]);
    wire.exchange("d").await.is(&switching("foo"));
    assert_eq!(log.take(), ["foo asked \"helloworld\"", "foo runs foo"]);
}

#[tokio::test(start_paused = true)]
async fn an_offer_needs_both_headers_and_a_known_protocol() {
    // VTX-15 to VTX-19. Vert.x accepts no POST. Here the handler decides about the method,
    // because RFC 9110 §7.8 leaves it to the protocol.
    for (request_line, headers, status) in [
        ("GET /x HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "101"),
        ("GET /x HTTP/1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", "101"),
        ("POST /x HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "101"),
        ("GET /x HTTP/1.1", "Upgrade: websocket\r\n", "200"),
        ("GET /x HTTP/1.1", "Connection: Upgrade\r\nUpgrade: fooo\r\n", "200"),
    ] {
        let (received, _) = exchange(request(request_line, headers)).await;
        received.starts_with(&format!("HTTP/1.1 {status} ")).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_request_on_an_upgraded_connection_is_the_protocols_bytes() {
    // KES-03, as far as the wire shows it.
    let again = get(FOO);
    let (received, log) = exchange(get(FOO) + &again).await;
    // The handler echoes in several pieces.
    let text = received.and_is_open().text.replace("][", "");
    assert_eq!(text, format!("{}[{again}]", switching("foo")));
    assert_eq!(log.count("foo asked"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_no_handler_takes_is_forwarded_with_the_request() {
    // KES-04 and KES-06
    let chunked = "Connection: Upgrade\r\nUpgrade: foo\r\nTransfer-Encoding: chunked\r\n";
    for (bytes, body) in [
        (post(&format!("{FOO}Content-Length: 1\r\n"), "A"), "A"),
        (post(chunked, "b\r\nHello World\r\n0\r\n\r\n"), "Hello World"),
    ] {
        let (received, log) = exchange(bytes).await;
        received.is(OK).and_is_open();
        assert_eq!(log.take(), [format!("inner POST /x {body:?} upgradable")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_content_length_of_zero_is_no_body() {
    // KES-05, P-54
    let headers = "Connection: Upgrade, keep-alive\r\nUpgrade: foo\r\nContent-Length: 0\r\n";
    let (received, _) = exchange(post(headers, "NP")).await;
    received.is(&(switching("foo") + "[NP]")).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_is_read_to_eof() {
    // KES-09
    let log = Log::default();
    let mut wire = connect(&log);
    wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]"));
    wire.io.shutdown().await.unwrap();
    wire.receive().await.is("").and_ends();
    assert_eq!(log.take(), ["foo asked \"\"", "foo runs foo", "foo reads \"NP\"", "foo ends"],);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_switch_is_open_for_the_next_request() {
    // KES-11
    let log = Log::default();
    let layer = UpgradeLayer::new()
        .on("foo", async |_: Request<Bytes>| Err::<tower_upgrade::Switch, _>(StatusCode::OK))
        .on("bar", echo(&log, "bar").when(|_| false));
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(get(FOO)).await.is("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").and_is_open();
    wire.exchange(get(&format!("{CU}Upgrade: bar\r\n"))).await.is(OK).and_is_open();
    wire.exchange(get("")).await.is(OK).and_is_open();
    assert_eq!(log.take(), ["inner GET /x \"\" upgradable", "inner GET /x \"\""]);
}

#[tokio::test(start_paused = true)]
async fn a_protocol_is_found_anywhere_in_the_list() {
    // TOM-01 to TOM-06
    let with_versions = ["HTTP/2.0", "SHTTP/1.3", "IRC/6.9", "RTA/x11"];
    for members in [with_versions, ["HTTP", "SHTTP", "IRC", "RTA"]] {
        let [a, b, c, d] = members;
        for headers in [
            format!("{CU}Upgrade: {a}, {b}, {c}, {d}\r\n"),
            format!("{CU}Upgrade: {a}, {b}\r\nUpgrade: {c}, {d}\r\n"),
            format!("{CU}Upgrade: {a}\r\nUpgrade: {b}\r\nUpgrade: {c}\r\nUpgrade: {d}\r\n"),
        ] {
            for member in members {
                let log = Log::default();
                let layer = UpgradeLayer::new().on(member, echo(&log, "listed"));
                let mut wire = Wire::serve(layer.layer(inner(&log)));
                wire.exchange(get(&headers)).await.is(&switching(member));

                for malformed in ["RTA/", "/x11"] {
                    let headers = headers.replace(d, malformed);
                    let mut wire = Wire::serve(layer.layer(inner(&log)));
                    wire.exchange(get(&headers)).await.is(OK);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_protocol_answers_in_http() {
    // TOM-11
    let log = Log::default();
    let layer = UpgradeLayer::new().on("websocket", echo(&log, "websocket"));
    let headers = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                 HTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(get(headers)).await.is(OK).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_100_precedes_the_101() {
    // Case 5, P-55, R9110-7.8-17
    let log = Log::default();
    let mut wire = connect_with_limit(&log, 5);
    let head = post(&format!("{FOO}Expect: 100-Continue\r\nContent-Length: 5\r\n"), "");
    wire.exchange(head).await.is("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(log.take(), [""; 0]);
    wire.exchange("helloNP").await.is(&(switching("foo") + "[NP]"));
    assert_eq!(log.count("foo asked \"hello\""), 1);
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_gets_the_body_after_a_100_if_the_upgrade_is_declined() {
    // Case 5
    for limit in [0, 4] {
        let log = Log::default();
        let mut wire = connect_with_limit(&log, limit);
        let head = post(&format!("{FOO}Expect: 100-continue\r\nContent-Length: 5\r\n"), "");
        wire.exchange(head).await.is("HTTP/1.1 100 Continue\r\n\r\n");
        wire.exchange("hello").await.is(OK).and_is_open();
        assert_eq!(log.take(), ["inner POST /x \"hello\" upgradable"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_forwarded_if_hyper_would_send_no_100() {
    // P-56, R9110-10.1.1-07
    for expect in [
        "Expect: 100-continue, x\r\n",
        "Expect: x\r\nExpect: 100-continue\r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\n",
    ] {
        let log = Log::default();
        let mut wire = connect_with_limit(&log, 5);
        let bytes = post(&format!("{FOO}{expect}Content-Length: 5\r\n"), "hello");
        wire.exchange(bytes).await.ends_with(OK).and_is_open();
        assert_eq!(log.take(), ["inner POST /x \"hello\" upgradable"], "{expect}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_one_byte_above_the_limit_is_forwarded_whole() {
    // Case 6
    for (limit, taken) in [(4, false), (5, true)] {
        let log = Log::default();
        let mut wire = connect_with_limit(&log, limit);
        let received = wire.exchange(post(&format!("{FOO}Content-Length: 5\r\n"), "hello")).await;
        received.is(&if taken { switching("foo") } else { OK.into() }).and_is_open();
        assert!(!taken || log.has("foo asked \"hello\""), "{log:?}");
        assert!(taken || log.has("inner POST /x \"hello\" upgradable"), "{log:?}");
    }
}
