//! Which offers are taken.

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
async fn a_good_offer_is_taken_however_its_connection_field_is_written() {
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
    let layer = UpgradeLayer::new().on("h2c/*", H2c::new(app(&log))).layer(app(&log));
    for upgrade in ["h2", "h2c/1"] {
        let lines = format!("{CUS}Upgrade: {upgrade}\r\nHTTP2-Settings: {CURL}\r\n");
        Wire::serve(layer.clone()).exchange(get(&lines)).await.is(OK);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_handler_the_answer_is_that_of_http_1_1() {
    // R7540-3.2-03, TOM-11
    let log = Log::default();
    let mut wire = Wire::serve(UpgradeLayer::new().layer(app(&log)));
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
            let octets = format!("GET {target} HTTP/1.1\r\n{hosts}{}\r\n", offer());
            let received = client.wire.exchange(octets).await;
            assert_eq!(
                received.text, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
                "{hosts:?} {target}"
            );
            received.and_is_open();
            assert_eq!(client.log.take(), [] as [&str; 0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn content_above_the_limit_goes_to_the_service_whole() {
    // TOM-26 to TOM-29, S-1, R7540-10.2-01, NGH-02, GO-03
    for (limit, octets) in [(65_535, 65_536), (10, 11), (0, 1), (1_000_000, 65_536)] {
        let mut client = Client::connect_to(|log| H2c::new(app(log)).max_body(limit));
        let content = "x".repeat(octets);
        let lines = format!("{}Content-Length: {octets}\r\n", offer());
        let head = request("POST /x HTTP/1.1", &lines);
        // What looks like a start of HTTP/2 is a malformed request.
        let octets_sent = [head.as_bytes(), content.as_bytes(), &preface()].concat();
        let received = client.wire.exchange(octets_sent).await;
        received.starts_with(OK).and_ends();
        let content =
            if octets < 100 { format!("{content:?}") } else { format!("{octets} octets") };
        assert_eq!(client.log.take(), [format!("POST /x HTTP/1.1 {content}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_does_not_know_of_windows_is_a_413_and_no_101() {
    let mut client = Client::connect_to(|log| H2c::new(app(log)).with_body_limit(100_000));
    let lines = format!("{}Content-Length: 65536\r\n", offer());
    let octets = request("POST /x HTTP/1.1", &lines) + &"x".repeat(65_536);
    let received = client.wire.exchange(octets).await;
    received.is("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n").and_is_open();
    assert_eq!(client.log.take(), [] as [&str; 0]);
    // What fits is upgraded.
    let lines = format!("{}Content-Length: 5\r\n", offer());
    let octets = request("POST /x HTTP/1.1", &lines) + "hello";
    assert_eq!(client.upgrade(octets).await, ANSWERED);
}

#[tokio::test(start_paused = true)]
async fn content_without_a_known_length_goes_to_the_service_whole() {
    // P-53, GO-03, R9112-6.1-02
    let lines = format!("{}Transfer-Encoding: chunked\r\n", offer());
    let head = request("POST /x HTTP/1.1", &lines);
    for (chunks, content) in [("5\r\nhello\r\n0\r\n\r\n", "hello"), ("0\r\n\r\n", "")] {
        let mut client = Client::connect();
        client.wire.exchange(format!("{head}{chunks}")).await.is(OK).and_is_open();
        assert_eq!(client.log.take(), [format!("POST /x HTTP/1.1 {content:?}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_for_content_is_never_above_the_window_of_a_stream() {
    let limit = |h2c: H2c<_>| h2c.body_limit();
    let h2c = || H2c::new(app(&Log::default()));
    assert_eq!(limit(h2c()), 65_535);
    assert_eq!(limit(h2c().max_body(70_000)), 65_535);
    assert_eq!(limit(h2c().max_body(10)), 10);
    let window = |octets| {
        h2c().http2(move |http2| {
            http2.initial_stream_window_size(octets);
        })
    };
    assert_eq!(limit(window(1_000)), 1_000);
    assert_eq!(limit(window(1_000).max_body(10)), 10);
    assert_eq!(limit(window(100_000)), 65_535);
    assert_eq!(limit(window(0)), 0);

    // As much as goes into a small window goes through.
    let mut client = Client::connect_to(|log| {
        H2c::new(app(log)).http2(|http2| {
            http2.initial_stream_window_size(1_000);
        })
    });
    let lines = format!("{}Content-Length: 1000\r\n", offer());
    let octets = request("POST /x HTTP/1.1", &lines) + &"x".repeat(1_000);
    assert_eq!(client.upgrade(octets).await, ANSWERED);
    assert_eq!(
        client.exchange([preface(), SETTINGS_ACK.to_vec()].concat()).await,
        ["SETTINGS ACK"]
    );
    assert_eq!(client.exchange(request_on(3, "/")).await, ["HEADERS 3 200", "DATA 3 2 END"]);
}

#[tokio::test(start_paused = true)]
async fn a_header_section_above_the_servers_limit_is_not_taken() {
    // What HTTP/1.1 took is not refused by HTTP/2, octet for octet.
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/x"),
        ("x-large", ""),
    ];
    let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    for limit in [16 * 1024, 64 * 1024] {
        let room = limit - size;
        for (octets, taken) in [(room - 1, true), (room, false)] {
            let mut client = Client::connect_to(|log| {
                let limit = u32::try_from(limit).unwrap();
                H2c::new(app(log)).http2(|http2| {
                    http2.max_header_list_size(limit);
                })
            });
            let octets = get(&format!("{}X-Large: {}\r\n", offer(), "x".repeat(octets)));
            if taken {
                assert_eq!(client.upgrade(octets).await, ANSWERED, "{limit}");
            } else {
                client.wire.exchange(octets).await.is(OK);
            }
        }
    }
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
        [(CURL, "", true), ("AAIAAAAC", "", false), ("!", "", false), (CURL, &*large, false)]
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
