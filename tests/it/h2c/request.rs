//! The upgrading request, as the service gets it on stream 1.

use tower_upgrade::h2c::H2c;

use super::support::*;
use crate::support::*;

/// Upgrades with these bytes, and returns what the service got.
async fn logged(bytes: impl AsRef<[u8]>) -> Vec<String> {
    let mut client = Client::connect();
    assert_eq!(client.upgrade(bytes).await, ANSWERED);
    client.log.take()
}

#[tokio::test(start_paused = true)]
async fn the_target_is_the_clients() {
    // R9110-7.8-13, NET-14 to NET-17, UND-04
    for (line, expected) in [
        ("GET /x?a=b&c HTTP/1.1", "GET http://a.test/x?a=b&c"),
        ("GET /^?query=^ HTTP/1.1", "GET http://a.test/^?query=^"),
        ("GET /\u{e9}\"{}|\\%zz HTTP/1.1", "GET http://a.test/\u{e9}\"{}|\\%zz"),
        ("GET http://b.test:81/x HTTP/1.1", "GET http://b.test:81/x"),
        ("GET http://b.test HTTP/1.1", "GET http://b.test/"),
        ("DELETE // HTTP/1.1", "DELETE http://a.test//"),
        ("M-SEARCH /x HTTP/1.1", "M-SEARCH http://a.test/x"),
    ] {
        let expected = format!("{expected} HTTP/2.0 \"\"");
        assert_eq!(logged(request(line, &offer())).await, [expected], "{line}");
    }
    // A path of its own kind, which the URI shows as hyper does with prior knowledge.
    let asterisk = logged(request("OPTIONS * HTTP/1.1", &offer())).await;
    assert_eq!(asterisk, ["OPTIONS http://a.test* HTTP/2.0 \"\""]);
}

#[tokio::test(start_paused = true)]
async fn headers_about_the_connection_are_gone_and_all_others_are_there() {
    // R9113-8.2.2-03, R9110-7.6.1-03
    let lines = format!(
        "{}Connection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers, gzip\r\nTrailer: x-sum\r\nCookie: a=1\r\n\
         Cookie: b=2\r\nExpect: 100-continue\r\nX-Empty:\r\nX-Obs: \u{e9}\r\nContent-Length: 0\r\n\
         X-Same: 1\r\nx-other: 2\r\nX-Same: 3\r\n",
        offer(),
    );
    let bytes = get(&lines);
    let mut client = Client::connect();
    client.send(bytes).await;
    settle().await;
    let log = client.log.take();
    let expected = "GET http://a.test/x HTTP/2.0 \"\"\nx-hop: 1\n\
        te: trailers\ntrailer: x-sum\ncookie: a=1\ncookie: b=2\nexpect: 100-continue\nx-empty: \n\
        x-obs: \u{e9}\n\
        content-length: 0\nx-same: 1\nx-same: 3\nx-other: 2";
    assert_eq!(log, [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_body_up_to_the_limit_is_read_whole() {
    // R7540-3.2-02, R9110-7.8-16, NET-08, TOM-22 to TOM-25, TOM-31, VTX-02
    for bytes in [1, 2, 9, 24, 16_383, 16_384, 16_385, 32_768, 65_534, 65_535] {
        let lines = format!("{}Content-Length: {bytes}\r\n", offer());
        let head = request("POST /x HTTP/1.1", &lines);
        let body: Vec<u8> = (b'a'..=b'z').cycle().take(bytes).collect();
        let expected = match bytes {
            0..100 => format!("{:?}", String::from_utf8_lossy(&body)),
            bytes => format!("{bytes} bytes"),
        };
        let expected = format!("POST http://a.test/x HTTP/2.0 {expected}\ncontent-length: {bytes}");
        // The bytes of HTTP/2 follow at once.
        let mut client = Client::connect();
        let bytes = [head.as_bytes(), &body, &preface(), &request_on(3, "/")].concat();
        let frames = client.upgrade(bytes).await;
        for frame in [&ANSWERED[2..], &["SETTINGS ACK", "HEADERS 3 200", "DATA 3 2 END"]].concat() {
            assert_eq!(frames.iter().filter(|&sent| sent == frame).count(), 1, "{frames:?}");
        }
        assert_eq!(client.log.take(), [&expected, "GET http://a.test/ HTTP/2.0 \"\""]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_late_is_waited_for() {
    // VTX-11, R9110-7.8-17: the 100 comes before the 101.
    let lines = format!("{}Content-Length: 5\r\nExpect: 100-continue\r\n", offer());
    let mut client = Client::connect();
    let head = request("POST /x HTTP/1.1", &lines);
    client.wire.exchange(head).await.is("HTTP/1.1 100 Continue\r\n\r\n");
    client.wire.exchange("he").await.is("");
    assert_eq!(client.upgrade("llo").await, ANSWERED);
    let expected =
        "POST http://a.test/x HTTP/2.0 \"hello\"\ncontent-length: 5\nexpect: 100-continue";
    assert_eq!(client.log.take(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_no_upgrade() {
    // VTX-10, P-57
    let lines = format!("{}Content-Length: 5\r\n", offer());
    let mut client = Client::connect();
    client.send(request("POST /x HTTP/1.1", &lines) + "he").await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.wire.io).await.unwrap();
    let received = client.wire.receive().await;
    assert!(!received.text.contains("101"), "{received:?}");
    received.and_ends();
    assert_eq!(client.log.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn header_sections_of_every_size_go_through() {
    // UND-01: up to what hyper takes, with and without a body.
    for (fields, bytes) in [(1, 0), (95, 1), (95, 150), (1, 16_300), (1, 61_440), (90, 650)] {
        for body in [0, 1, 2_000, 65_535] {
            let mut client = Client::connect_to(|log| {
                H2c::new(app(log)).http2(|http2| {
                    http2.max_header_list_size(65_536);
                })
            });
            let value = "v".repeat(bytes);
            let own: Vec<_> = (0..fields).map(|n| format!("x-{n}: {value}")).collect();
            let lines = format!("{}{}\r\nContent-Length: {body}\r\n", offer(), own.join("\r\n"));
            let request = request("POST /x HTTP/1.1", &lines) + &"c".repeat(body);
            assert_eq!(client.upgrade(request).await, ANSWERED, "{fields} of {bytes}, {body}");
            let log = client.log.take();
            let (_, logged) = log[0].split_once('\n').unwrap();
            let expected = format!("{}\ncontent-length: {body}", own.join("\n"));
            assert_eq!(logged, expected);
            // The table of the header compression is as it was.
            let indexed = named_literal(0x40, b"x-one", b"1");
            let bytes = [preface(), request_with(3, "/", &indexed)].concat();
            assert!(client.exchange(bytes).await.contains(&"HEADERS 3 200".into()));
            let bytes = request_with(5, "/", &[0x80 + 62]);
            assert!(client.exchange(bytes).await.contains(&"HEADERS 5 200".into()));
            assert_eq!(client.log.take(), ["GET http://a.test/ HTTP/2.0 \"\"\nx-one: 1"; 2]);
            // There is no entry but that one.
            let frames = client.exchange(request_with(7, "/", &[0x80 + 63])).await;
            assert_eq!(frames, ["GOAWAY 5 PROTOCOL_ERROR"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_size_does_not_divide_the_header_section_too_finely() {
    // HTTP/2 allows for few CONTINUATION frames where a frame can hold more.
    let mut client = Client::connect_to(|log| {
        H2c::new(app(log)).http2(|http2| {
            http2.max_header_list_size(400_000).max_frame_size(1 << 20);
        })
    });
    let request = get(&format!("{}X-Large: {}\r\n", offer(), "x".repeat(250_000)));
    assert_eq!(client.upgrade(request).await, ANSWERED);
}

#[tokio::test(start_paused = true)]
async fn each_connection_has_a_request_of_its_own() {
    // S-15
    for path in ["/a", "/b"] {
        let bytes = request(&format!("GET {path} HTTP/1.1"), &offer());
        assert_eq!(logged(bytes).await, [format!("GET http://a.test{path} HTTP/2.0 \"\"")]);
    }
}
