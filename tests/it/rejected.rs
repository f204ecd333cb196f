//! Requests that hyper rejects by itself never reach a handler or the inner service. The tests notice
//! a newer hyper that accepts one of them.

use crate::support::*;

const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\n";
const TOO_LARGE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\n";

/// Sends the bytes whole, and split at many places. The answer has this status line and no body, the
/// connection is closed, and no service is called.
async fn check(id: &str, bytes: impl AsRef<[u8]>, status_line: &str) {
    let bytes = bytes.as_ref();
    let step = bytes.len().div_ceil(200);
    for at in (0..bytes.len()).step_by(step) {
        let log = Log::default();
        let mut wire = connect(&log);
        let received = wire.exchange_split(bytes, at).await;
        let expected = format!("{status_line}connection: close\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(received.text, expected, "{id} split at {at}");
        assert!(received.ended, "{id} split at {at}");
        assert_eq!(log.take(), [""; 0], "{id} split at {at}");
        assert!(wire.connection.await.unwrap().is_err(), "{id} split at {at}");
    }
}

/// A request for `/x` whose headers are not all text.
fn get_bytes(headers: &[&[u8]]) -> Vec<u8> {
    [b"GET /x HTTP/1.1\r\nHost: a.test\r\n", &*headers.concat(), b"\r\n"].concat()
}

#[tokio::test(start_paused = true)]
async fn a_version_that_hyper_does_not_speak_is_rejected() {
    // P-28
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1"] {
        check("P-28", request(&format!("GET /x {version}"), FOO), BAD_REQUEST).await;
    }
}

#[tokio::test(start_paused = true)]
async fn control_characters_in_a_value_are_rejected() {
    // P-39, R9110-5.5-03, R9110-5.6.3-01, R9112-2.2-02: each byte in either header, in a member
    // and where whitespace may be.
    for byte in [b"\0", b"\x0b", b"\x0c", b"\x7f", b"\r"] {
        for headers in [
            [&b"Connection: upgrade\r\nUpgrade: f"[..], byte, b"oo\r\n"],
            [b"Connection: upgrade\r\nUpgrade: foo,", byte, b"nope\r\n"],
            [b"Connection: upgrade\r\nUpgrade: foo", byte, b"\r\n"],
            [b"Upgrade: foo\r\nConnection: up", byte, b"grade\r\n"],
            [b"Upgrade: foo\r\nConnection:", byte, b"upgrade\r\n"],
        ] {
            // This one makes two carriage returns at the end of a line.
            let id = format!("P-39 {:?} in {:?}", byte.escape_ascii(), headers[0].escape_ascii());
            check(&id, get_bytes(&headers), BAD_REQUEST).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn folded_lines_and_names_with_space_are_rejected() {
    for (id, headers) in [
        ("P-40 R9112-5.2-01", "Connection: upgrade\r\nUpgrade: foo,\r\n websocket\r\n"),
        ("P-40", "Connection: upgrade\r\nUpgrade:\r\n\tfoo\r\n"),
        ("P-40", "Upgrade: foo\r\nConnection: keep-alive,\r\n upgrade\r\n"),
        ("P-41 R9112-5.1-01", "Connection: upgrade\r\nUpgrade : foo\r\n"),
        ("P-41", "Connection\t: upgrade\r\nUpgrade: foo\r\n"),
        ("P-41", "Connection: upgrade\r\nUp grade: foo\r\n"),
        ("a line without a colon", "Connection: upgrade\r\nUpgrade\r\n"),
    ] {
        check(id, get(headers), BAD_REQUEST).await;
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_are_too_large_are_rejected() {
    // P-36 and P-37, R9110-5.4-01: no header is dropped silently, so no part of an offer is
    // taken for the whole.
    let headers = format!("{CU}Upgrade: foo\r\n{}", "Upgrade: foo\r\n".repeat(110));
    check("P-36", get(&headers), TOO_LARGE).await;
    // hyper checks the size between two reads, so a head just above its limit may pass. The limit of
    // the layer then applies.
    for headers in [
        format!("{CU}Upgrade: foo, {}\r\n", "p".repeat(900_000)),
        format!("Upgrade: foo\r\nConnection: upgrade, {}\r\n", "p".repeat(900_000)),
    ] {
        let (received, log) = exchange(get(&headers)).await;
        received.starts_with(TOO_LARGE).and_ends();
        assert_eq!(log.take(), [""; 0], "P-37");
    }
    let (received, log) =
        exchange(get(&format!("{CU}Upgrade: foo, {}\r\n", "p".repeat(500_000)))).await;
    assert!(!received.text.contains("101"), "P-37 {received:?}");
    assert_eq!(log.count("foo"), 0);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_not_http_are_rejected_after_a_declined_upgrade() {
    // R9112-2.2-03, R9931-6.1-01: a client that starts TLS without waiting for the 101.
    let headers = format!("{CU}Upgrade: nope\r\n");
    let bytes = [get(&headers).as_bytes(), b"\x16\x03\x01\x02\0\x01"].concat();
    for at in 0..bytes.len() {
        let log = Log::default();
        let received = connect(&log).exchange_split(&bytes, at).await;
        let rejected = format!("{BAD_REQUEST}connection: close\r\ncontent-length: 0\r\n\r\n");
        received.is(&format!("{OK}{rejected}")).and_ends();
        assert_eq!(log.take(), ["inner GET /x \"\" upgradable"]);
    }
}

#[tokio::test(start_paused = true)]
async fn faulty_framing_is_rejected() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let bytes = request("POST /x HTTP/1.0", &format!("{FOO}{chunked}")) + "0\r\n\r\n";
    check("R9112-6.1-03", bytes, BAD_REQUEST).await;
    for framing in [
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Content-Length: five\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length:\r\n",
    ] {
        let id = format!("R9112-6.3-02 {framing:?}");
        check(&id, post(&format!("{FOO}{framing}"), ""), BAD_REQUEST).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_counts_only_once_the_head_is_complete() {
    // R9110-5.3-03
    let bytes = get(FOO);
    let (part, rest) = bytes.split_at(bytes.len() - 1);
    let log = Log::default();
    let mut wire = connect(&log);
    wire.exchange(part).await.is("").and_is_open();
    assert_eq!(log.take(), [""; 0]);
    wire.exchange(rest).await.is(&switching("foo"));

    let log = Log::default();
    let mut wire = connect(&log);
    wire.send(part).await;
    tokio::io::AsyncWriteExt::shutdown(&mut wire.io).await.unwrap();
    wire.receive().await.is("").and_ends();
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_offer_in_a_trailer_is_ignored() {
    // P-43, R9110-6.5.1-01. A trailer does not complete half an offer in the head either.
    for (headers, trailers, upgradable) in [
        (CU, "Upgrade: foo\r\n", ""),
        ("Upgrade: foo\r\n", "Connection: upgrade\r\n", " upgradable"),
        ("", "Connection: upgrade\r\nUpgrade: foo\r\n", ""),
    ] {
        let headers = format!("{headers}Transfer-Encoding: chunked\r\nTrailer: Upgrade\r\n");
        let bytes = post(&headers, "5\r\nhello\r\n0\r\n") + trailers + "\r\n";
        for at in 0..bytes.len() {
            let log = Log::default();
            let received = connect(&log).exchange_split(bytes.as_bytes(), at).await;
            received.is(OK).and_is_open();
            assert_eq!(log.take(), [format!("inner POST /x \"hello\"{upgradable}")]);
        }
    }
}
