//! The servers in the guide's pages on migration: by another crate or by hand, and by this crate.

#[path = "../../../src/guide/migration/by_hand/ours.rs"]
mod by_hand_ours;
#[path = "../../../src/guide/migration/by_hand/theirs.rs"]
mod by_hand_theirs;
#[path = "../../../src/guide/migration/fastwebsockets/ours.rs"]
mod fastwebsockets_ours;
#[path = "../../../src/guide/migration/fastwebsockets/theirs.rs"]
mod fastwebsockets_theirs;
#[path = "../../../src/guide/migration/hyper_tungstenite/ours.rs"]
mod hyper_tungstenite_ours;
#[path = "../../../src/guide/migration/hyper_tungstenite/theirs.rs"]
mod hyper_tungstenite_theirs;

use futures_util::{SinkExt, StreamExt};
use tokio::io::DuplexStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::support::*;

/// A server, by its name and by which side it is of.
type Server = (&'static str, Side, fn() -> Wire);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Theirs,
    Ours,
}

const WEBSOCKETS: [Server; 4] = [
    ("hyper-tungstenite", Side::Theirs, || wire(hyper_tungstenite_theirs::serve)),
    ("hyper-tungstenite", Side::Ours, || wire(hyper_tungstenite_ours::serve)),
    ("fastwebsockets", Side::Theirs, || wire(fastwebsockets_theirs::serve)),
    ("fastwebsockets", Side::Ours, || wire(fastwebsockets_ours::serve)),
];

const BY_HAND: [Server; 2] = [
    ("by hand", Side::Theirs, || wire(by_hand_theirs::serve)),
    ("by hand", Side::Ours, || wire(by_hand_ours::serve)),
];

fn wire<F, Fut>(serve: F) -> Wire
where
    F: FnOnce(DuplexStream) -> Fut,
    Fut: Future<Output = hyper::Result<()>> + Send + 'static,
{
    let (client, server) = tokio::io::duplex(1 << 20);
    Wire::of(client, serve(server))
}

/// The headers of a right handshake but for `Host`.
const HANDSHAKE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The status of the answer to these bytes on a new connection.
async fn status(connect: fn() -> Wire, bytes: &str) -> String {
    let received = connect().exchange(bytes).await;
    received.text.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Sends the bytes to each server, and compares the statuses with those of theirs and of ours.
async fn check(servers: &[Server], bytes: &str, theirs: &str, ours: &str) {
    for (name, side, connect) in servers {
        let expected = if *side == Side::Theirs { theirs } else { ours };
        assert_eq!(status(*connect, bytes).await, expected, "{name} {side:?} {bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_each_page_echo_messages() {
    for (name, side, connect) in WEBSOCKETS {
        let (mut socket, _) = client_async("ws://a.test/echo", connect().io).await.unwrap();
        for message in [Message::text("hello"), Message::binary(vec![7; 70_000])] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message, "{name} {side:?}");
        }
        socket.close(None).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_close(), "{name} {side:?}");
        assert!(socket.next().await.is_none(), "{name} {side:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_each_page_answer_other_requests_and_malformed_handshakes_alike() {
    for (name, side, connect) in WEBSOCKETS {
        let mut wire = connect();
        for bytes in [request("GET /echo HTTP/1.1", ""), request("GET / HTTP/1.1", HANDSHAKE)] {
            let received = wire.exchange(bytes).await;
            received.starts_with("HTTP/1.1 200 OK\r\n").ends_with("\r\n\r\nplain").and_is_open();
        }
        let rejected = request("GET /echo HTTP/1.1", &HANDSHAKE.replace("Key", "Kea"));
        assert_eq!(status(connect, &rejected).await, "400", "{name} {side:?}");
        let accepted = request("GET /echo HTTP/1.1", HANDSHAKE);
        assert_eq!(status(connect, &accepted).await, "101", "{name} {side:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_table_of_what_changes_for_websockets_is_right() {
    let get = |headers: &str| request("GET /echo HTTP/1.1", headers);
    let origin = format!("{HANDSHAKE}Origin: https://elsewhere.test\r\n");
    check(&WEBSOCKETS, &get(&origin), "101", "403").await;
    check(&WEBSOCKETS, &get(&HANDSHAKE.replace("13", "12")), "400", "426").await;
    let key = HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "x");
    check(&WEBSOCKETS, &get(&key), "101", "400").await;
    let keys = format!("{HANDSHAKE}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n");
    check(&WEBSOCKETS, &get(&keys), "101", "400").await;
    let method = request("POST /echo HTTP/1.1", HANDSHAKE);
    check(&WEBSOCKETS, &method, "101", "405").await;
    let hostless = format!("GET /echo HTTP/1.1\r\n{HANDSHAKE}\r\n");
    check(&WEBSOCKETS, &hostless, "101", "400").await;
    let body = request("GET /echo HTTP/1.1", &format!("{HANDSHAKE}Content-Length: 2\r\n"));
    check(&WEBSOCKETS, &format!("{body}ab"), "101", "200").await;
    let old = request("GET /echo HTTP/1.0", HANDSHAKE);
    check(&WEBSOCKETS, &old, "101", "200").await;
}

#[tokio::test(start_paused = true)]
async fn a_protocol_by_hand_and_by_this_crate_echo_alike() {
    for (_name, _side, connect) in BY_HAND {
        let mut wire = connect();
        let plain = wire.exchange(request("GET / HTTP/1.1", "")).await;
        plain.starts_with("HTTP/1.1 200 OK\r\n").ends_with("\r\n\r\nplain").and_is_open();
        let offer = request("GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: echo/1\r\n");
        let switched = wire.exchange(offer + "early").await;
        switched.starts_with(&switching("echo/1")).ends_with("\r\n\r\nearly").and_is_open();
        wire.exchange("late").await.is("late").and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn the_table_of_what_changes_for_a_protocol_by_hand_is_right() {
    let get = |headers: &str| request("GET / HTTP/1.1", headers);
    check(&BY_HAND, &get(&format!("{CU}Upgrade: echo/2, echo/1\r\n")), "200", "101").await;
    check(&BY_HAND, &get(&format!("{CU}Upgrade: ECHO/1\r\n")), "200", "101").await;
    check(&BY_HAND, &get("Upgrade: echo/1\r\n"), "101", "200").await;
    let body = get(&format!("{CU}Upgrade: echo/1\r\nContent-Length: 2\r\n"));
    check(&BY_HAND, &format!("{body}ab"), "101", "200").await;
    let old = request("GET / HTTP/1.0", &format!("{CU}Upgrade: echo/1\r\n"));
    check(&BY_HAND, &old, "101", "200").await;
}
