//! Which offers are accepted.

use tower::Layer;
use tower_upgrade::{UpgradeHandler, UpgradeLayer, h2c::H2c};

use super::support::*;
use crate::support::*;

/// Asserts that the app answers in HTTP/1.1, whole, and that the connection goes on: the next
/// request on it is upgraded.
async fn is_forwarded(lines: &str) {
    let mut client = Client::connect();
    let received = client.wire.exchange(get(lines)).await;
    assert_eq!(received.text, OK, "{lines:?}");
    assert_eq!(client.log.take(), ["GET /x HTTP/1.1 \"\""], "{lines:?}");
    assert_eq!(client.upgrade(get(&offer())).await, ANSWERED, "{lines:?}");
}

async fn is_upgraded(lines: &str) {
    let mut client = Client::connect();
    assert_eq!(client.upgrade(get(lines)).await, ANSWERED, "{lines:?}");
    let log = client.log.take();
    assert_eq!(log, ["GET http://a.test/x HTTP/2.0 \"\""], "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_good_offer_is_taken_however_its_connection_header_is_written() {
    // R7540-3.2-01, NET-08, NET-09, NET-10, NGH-03, TOM-16, TOM-20, TOM-21, VTX-01, VTX-24.
    // The 101 says `h2c`, and has no HTTP2-Settings: R7540-3.2-04, R7540-3.2.1-03.
    let rest = format!("Upgrade: h2c\r\nHTTP2-Settings: {CURL}\r\n");
    for connection in [
        "Connection: Upgrade, HTTP2-Settings\r\n",
        "Connection: HTTP2-Settings, Upgrade\r\n",
        "Connection: UpGrAdE,http2-settings\r\n",
        "Connection: Upgrade\r\nConnection: HTTP2-Settings\r\n",
        "Connection: HTTP2-Settings\r\nConnection: Upgrade\r\n",
        "Connection: keep-alive\r\nConnection: Upgrade, HTTP2-Settings\r\n",
        "Connection: keep-alive\r\nConnection: HTTP2-Settings\r\nConnection: upgrade\r\n",
    ] {
        is_upgraded(&format!("{connection}{rest}")).await;
    }
    // P-47, and RFC 9110 §7.8 for the case.
    for upgrade in ["h2, h2c", "H2C", "nope, h2c", "h2c, h2c"] {
        is_upgraded(&format!("{CUS}Upgrade: {upgrade}\r\nHTTP2-Settings: {CURL}\r\n")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn settings_within_bounds_are_taken() {
    // R7540-6.5.2-02, and the bounds themselves.
    for settings in [
        "AAMAAABk",
        "AAEAAAAAAJkAAAAH",
        "AAMAAAABAAMAAAAC",
        "AAIAAAAB",
        "AAR_____",
        "AAUAAEAA",
        "AAUA____",
        "AAYAAAAA",
        "AAgAAAAB",
        &"AAMAAABk".repeat(2_730),
    ] {
        is_upgraded(&offer_with(settings)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_malformed_or_out_of_bounds_are_not_taken() {
    // R7540-3.2.1-04, R7540-6.5-01, R7540-6.5.2-01, VTX-07, VTX-08, GO-03
    for settings in [
        "",
        "!!!!",
        "AAMAAAB+",
        "AAMAAAB/",
        "AAMAAABk=",
        "AAMAAABkAA",
        "AAMAAABkAA==",
        "AAMAAABk, AAMAAABk",
        "AAAGBAAAAAAAAAMAAABk",
        "incorrect-settings",
        "\"AAMAAABk\"",
        "\u{ff}\u{ff}\u{ff}\u{ff}",
        "AAIAAAAC",
        "AASAAAAA",
        "AAUAAD__",
        "AAUBAAAA",
        "AAgAAAAC",
        &"AAMAAABk".repeat(2_731),
    ] {
        is_forwarded(&offer_with(settings)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_missing_repeated_or_not_named_in_connection_are_not_taken() {
    let settings = "HTTP2-Settings: AAMAAABk\r\n";
    for lines in [
        // R7540-3.2.1-01, TOM-17, VTX-09
        format!("{CUS}Upgrade: h2c\r\n"),
        // R7540-3.2.1-02, P-49, TOM-18
        format!("{CUS}Upgrade: h2c\r\n{settings}{settings}"),
        // R7540-3.2.1-05, P-48, TOM-19, VTX-06
        format!("{CU}Upgrade: h2c\r\n{settings}"),
        format!("Connection: Upgrade, HTTP2-Settings-X\r\nUpgrade: h2c\r\n{settings}"),
        format!("Connection: HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}"),
    ] {
        is_forwarded(&lines).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_token_h2c_without_a_version_is_taken() {
    // R7540-3.2-04, TOM-12, P-47, R9110-7.8-19
    for upgrade in ["h2", "h2c/1", "h2c-14", "HTTP/2.0", "h2c;q=1", "\"h2c\""] {
        is_forwarded(&format!("{CUS}Upgrade: {upgrade}\r\nHTTP2-Settings: {CURL}\r\n")).await;
    }
    // Not even where the handler is registered for more.
    let log = Log::default();
    let layer = UpgradeLayer::new().on("h2c/*", H2c::new(app(&log))).layer(http1(app(&log)));
    for upgrade in ["h2", "h2c/1"] {
        let lines = format!("{CUS}Upgrade: {upgrade}\r\nHTTP2-Settings: {CURL}\r\n");
        Wire::serve(layer.clone()).exchange(get(&lines)).await.is(OK);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_handler_the_answer_is_that_of_http_1_1() {
    // R7540-3.2-03, TOM-11
    let log = Log::default();
    let mut wire = Wire::serve(UpgradeLayer::new().layer(http1(app(&log))));
    wire.exchange(get(&offer())).await.is(OK).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn http_1_0_is_not_upgraded() {
    // R9110-7.8-15
    let request = request("GET /x HTTP/1.0", &offer());
    let received = Client::connect().wire.exchange(request).await;
    assert!(received.text.starts_with("HTTP/1.0 200 OK\r\n"), "{received:?}");
    received.ends_with("\r\n\r\nok");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_missing_repeated_or_malformed_is_a_400_and_no_101() {
    // R9112-3.2-01, VTX-04
    for hosts in [
        "",
        "Host: a.test\r\nHost: a.test\r\n",
        "Host: a.test\r\nHost: b.test\r\n",
        "Host:\r\n",
        "Host: a.test, b.test\r\n",
        "Host: localhost:not\r\n",
        "Host: me@a.test\r\n",
        "Host: \u{e9}.test\r\n",
    ] {
        for target in ["/x", "http://a.test/x"] {
            let mut client = Client::connect();
            let bytes = format!("GET {target} HTTP/1.1\r\n{hosts}{}\r\n", offer());
            let received = client.wire.exchange(bytes).await;
            assert_eq!(
                received.text, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
                "{hosts:?} {target}"
            );
            received.and_is_open();
            assert_eq!(client.log.take(), [] as [&str; 0]);
        }
    }
}

/// A POST with a chunked body, in chunks of 1,000 bytes at most.
fn chunked(lines: &str, body: &str) -> String {
    let lines = format!("{}Transfer-Encoding: chunked\r\n{lines}", offer());
    let chunks = body.as_bytes().chunks(1_000);
    let chunks =
        chunks.map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)));
    request("POST /x HTTP/1.1", &lines) + &chunks.collect::<String>() + "0\r\n\r\n"
}

#[tokio::test(start_paused = true)]
async fn a_body_above_the_limit_goes_to_the_inner_service_whole() {
    // TOM-26 to TOM-29, S-1, R7540-10.2-01, NGH-02, GO-03
    for (limit, bytes) in [(65_536, 65_537), (10, 11), (0, 1), (200_000, 200_001)] {
        let mut client = Client::connect_to(|log| H2c::new(app(log)).with_body_limit(limit));
        let body = "x".repeat(bytes);
        let lines = format!("{}Content-Length: {bytes}\r\n", offer());
        let head = request("POST /x HTTP/1.1", &lines);
        // Bytes that look like a start of HTTP/2 are a malformed request.
        let sent = [head.as_bytes(), body.as_bytes(), &preface()].concat();
        client.wire.exchange(sent).await.starts_with(OK).and_ends();
        let body = if bytes < 100 { format!("{body:?}") } else { format!("{bytes} bytes") };
        assert_eq!(client.log.take(), [format!("POST /x HTTP/1.1 {body}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_for_the_body_is_the_users() {
    let h2c = || H2c::new(app(&Log::default()));
    assert_eq!(h2c().body_limit(), 65_536);
    // The windows of HTTP/2 have nothing to do with it: the body is not sent in HTTP/2.
    let small_windows = |log: &Log| {
        H2c::new(app(log)).http2(|http2| {
            http2.initial_stream_window_size(0).initial_connection_window_size(0);
        })
    };
    for bytes in [65_536, 3_000_000] {
        let mut client = Client::connect_to(|log| small_windows(log).with_body_limit(bytes));
        let lines = format!("{}Content-Length: {bytes}\r\n", offer());
        let body = "x".repeat(bytes);
        let frames = client.upgrade(request("POST /x HTTP/1.1", &lines) + &body).await;
        assert_eq!(frames, ["SETTINGS", "HEADERS 1 200", "DATA 1 2 END"]);
        assert_eq!(client.exchange(preface()).await, ["SETTINGS ACK"]);
        assert_eq!(client.exchange(request_on(3, "/")).await, ["HEADERS 3 200", "DATA 3 2 END"]);
        assert!(
            client.log.take()[0].starts_with(&format!("POST http://a.test/x HTTP/2.0 {bytes}"))
        );

        let mut client = Client::connect_to(|log| small_windows(log).with_body_limit(bytes));
        client.upgrade(chunked("", &body)).await;
        let expected = format!("POST http://a.test/x HTTP/2.0 {bytes} bytes");
        assert_eq!(client.log.take(), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_up_to_the_limit_is_upgraded() {
    // P-53, GO-03, R9112-6.1-02
    for body in ["hello", ""] {
        let mut client = Client::connect();
        assert_eq!(client.upgrade(chunked("", body)).await, ANSWERED);
        let expected = format!("POST http://a.test/x HTTP/2.0 {body:?}");
        assert_eq!(client.log.take(), [expected]);

        let h2c = |log: &Log| H2c::new(app(log)).forward_chunked_bodies();
        let mut client = Client::connect_to(h2c);
        client.wire.exchange(chunked("", body)).await.is(OK).and_is_open();
        assert_eq!(client.log.take(), [format!("POST /x HTTP/1.1 {body:?}")]);
    }
    // Above the limit the request cannot be given back, and nothing of it is taken for HTTP/2.
    let mut client = Client::connect_to(|log| H2c::new(app(log)).with_body_limit(1_000));
    let sent = [chunked("", &"x".repeat(1_001)).as_bytes(), &preface()].concat();
    let received = client.wire.exchange(sent).await;
    received.starts_with("HTTP/1.1 413 Payload Too Large\r\n").and_ends();
    assert_eq!(client.log.take(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn header_sections_above_the_limit_of_http_2_are_taken() {
    // That limit is for what HTTP/2 reads, and HTTP/1.1 has read the upgrading request.
    for limit in [124, 16 * 1024] {
        let mut client = Client::connect_to(|log| {
            H2c::new(app(log)).http2(|http2| {
                http2.max_header_list_size(limit);
            })
        });
        let large = get(&format!("{}X-Large: {}\r\n", offer(), "x".repeat(60_000)));
        assert_eq!(client.upgrade(large).await, ANSWERED, "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_never_taken_for_that_of_stream_1() {
    // The request in the opening has a size of 123, as RFC 7540 §6.5.2 counts, so HTTP/2 answers
    // stream 1 itself, with 431. The next request is smaller, by two letters of its scheme.
    let block = [&[0x82][..], &literal(0x06, b"ws"), &[0x84]].concat();
    let second = [preface(), frame(1, 0x5, 3, &block)].concat();
    let lines = format!("{}Content-Length: 6\r\n", offer());
    let first = request("POST /first HTTP/1.1", &lines) + "secret";
    let bytes = [first.as_bytes(), &second].concat();
    for at in 0..=bytes.len() {
        let mut client = Client::connect_to(|log| {
            H2c::new(app(log)).http2(|http2| {
                http2.max_header_list_size(123);
            })
        });
        client.send(&bytes[..at]).await;
        settle().await;
        let frames = client.upgrade(&bytes[at..]).await;
        for frame in ["HEADERS 1 431 END", "HEADERS 3 200", "DATA 3 2 END"] {
            assert!(frames.contains(&frame.into()), "{at} {frames:?}");
        }
        assert_eq!(client.log.take(), ["GET / HTTP/2.0 \"\""], "{at}");
    }
    // Or there may be no streams at all.
    let mut client = Client::connect_to(|log| {
        H2c::new(app(log)).http2(|http2| {
            http2.max_concurrent_streams(0);
        })
    });
    let frames = client.upgrade(bytes).await;
    assert!(frames.contains(&"RST_STREAM 1 REFUSED_STREAM".into()), "{frames:?}");
    assert_eq!(client.log.take(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn targets_that_http_2_has_no_form_for_are_not_taken() {
    for (line, logged) in [
        ("GET * HTTP/1.1", "GET * HTTP/1.1 \"\""),
        ("GET a.test:80 HTTP/1.1", "GET a.test:80 HTTP/1.1 \"\""),
    ] {
        let mut client = Client::connect();
        let lines = offer();
        let received = client.wire.exchange(request(line, &lines)).await;
        if client.log.has(logged) {
            received.is(OK);
        } else {
            // hyper may refuse the target itself.
            received.starts_with("HTTP/1.1 400 Bad Request\r\n");
        }
    }
}

#[test]
fn an_offer_that_is_not_taken_costs_no_allocation() {
    let handler = H2c::new(app(&Log::default()));
    let protocol = "h2c".parse().unwrap();
    let large = "x".repeat(16_384);
    for (settings, value, taken) in
        [(CURL, "", true), ("AAIAAAAC", "", false), ("!", "", false), (CURL, &*large, true)]
    {
        let request = http::Request::get("http://a.test/x")
            .header("connection", "upgrade, http2-settings")
            .header("http2-settings", settings)
            .header("x-large", value);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let counted = allocation_counter::measure(|| {
            assert_eq!(handler.accepts(&head, &protocol), taken);
        });
        assert_eq!(counted.count_total, 0, "{settings} {}", value.len());
    }
}
