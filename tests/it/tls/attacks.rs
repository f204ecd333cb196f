//! S-12, CVE-2025-49812: between a client and the server stands somebody who writes in clear what the
//! client did not, and hopes that it counts inside TLS.

use tower_upgrade::UpgradeHandler;

use super::*;

/// A fact that an outer layer knows about a request.
#[derive(Clone, Debug)]
pub(super) struct User;

/// R2817-3.3-04, S-12: the first record is an alert, and there is no other.
#[track_caller]
fn assert_alert(bytes: &[u8]) {
    // Alert, TLS 1.x, 2 bytes: fatal, and the reason.
    assert!(matches!(bytes, [0x15, 0x03, _, 0, 2, 2, _]), "{bytes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_browser_is_not_given_the_response_to_the_request_of_an_attacker() {
    // S-12: the attack itself. The attacker asks in clear, and connects the browser to what follows.
    for tls in [&TLS12, &TLS13] {
        for names in [&[b"http/1.1".to_vec()][..], &[b"h2".to_vec(), b"http/1.1".to_vec()]] {
            let server = Server::new();
            let mut attacker = server.connect();
            let request = request("GET /evil HTTP/1.1", &format!("{CU}Upgrade: TLS/1.2\r\n"));
            attacker.exchange(request).await.starts_with(SWITCHED);
            let mut browser = server.client(tls);
            browser.alpn_protocols = names.to_vec();
            let error = Secure::handshake(attacker.io, browser).await.err().unwrap();
            assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
            settle().await;
            assert_eq!(server.log.count("failed TLS/1.2 Handler"), 1);
            assert_eq!(server.log.count("TLS"), 0, "the app is not asked");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_in_clear_after_the_request_are_no_request_inside_tls() {
    // S-12, R2817-3.3-04, R9931-6.1-01. Nothing is answered in clear either.
    for tail in [
        "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "\r\n",
        "\u{16}",
        "\u{16}\u{3}\u{1}\0\u{5}\u{1}\0\0\u{1}x",
    ] {
        let bytes = offer("TLS/1.2") + tail;
        for at in bytes.len() - tail.len()..=bytes.len() {
            let server = Server::new();
            let mut wire = server.connect();
            wire.send(&bytes[..at]).await;
            settle().await;
            wire.io.write_all(&bytes.as_bytes()[at..]).await.unwrap();
            wire.io.shutdown().await.unwrap();
            let (bytes, ended) = wire.receive_bytes().await;
            let end_of_head = switching_head(&bytes);
            let after = &bytes[end_of_head..];
            // TLS waits for the five bytes that begin a record.
            if tail.len() >= 5 {
                assert_alert(after);
            }
            assert!(ended && !after.starts_with(b"HTTP"), "{tail:?} split at {at}");
            settle().await;
            let events = server.log.take();
            assert_eq!(events.len(), 1, "{events:?}");
            assert!(events[0].starts_with("failed TLS/1.2 Handler"), "{events:?}");
        }
    }
}

/// Where the head of the 101 ends.
fn switching_head(bytes: &[u8]) -> usize {
    assert!(bytes.starts_with(SWITCHED.as_bytes()));
    bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4
}

#[tokio::test(start_paused = true)]
async fn bytes_in_clear_before_the_handshake_of_a_client_break_it() {
    // S-12: a client that does not know of them gets no answer at all.
    let server = Server::new();
    let mut wire = server.connect();
    let smuggled = get("");
    wire.exchange(offer("TLS/1.2") + &smuggled).await.starts_with(SWITCHED);
    assert!(Secure::handshake(wire.io, server.client(&TLS13)).await.is_err());
    settle().await;
    assert_eq!(server.log.count("TLS, from clear") + server.log.count("TLS:"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_in_clear_is_that_of_its_request_and_nothing_else() {
    // S-12, S-1. Without a limit of its own, the handler leaves the request to the app, in clear.
    let smuggled = get("");
    let length = format!("Content-Length: {}\r\n", smuggled.len());
    let request = post(&format!("{CU}Upgrade: TLS/1.2\r\n{length}"), &smuggled);
    let server = Server::new();
    let header = format!("connection=upgrade upgrade=TLS/1.2 content-length={}", smuggled.len());
    server.connect().exchange(&request).await.is(ANSWER).and_is_open();
    assert_eq!(server.log.take(), [format!("clear: POST /x {header}{smuggled}")]);

    let layer = UpgradeLayer::new().on("TLS/1.2", server.handler().with_body_limit(1024));
    let mut secure = server.switch(server.connect_to(&layer), &request).await;
    secure.receive().await.is(ANSWER).and_is_open();
    let first = format!("TLS, from clear: POST /x content-length={}{smuggled}", smuggled.len());
    assert_eq!(server.log.take(), [first]);
}

#[tokio::test(start_paused = true)]
async fn what_came_in_clear_says_nothing_about_the_client_inside_tls() {
    // S-12: state from before TLS does not count.
    let server = Server::new();
    let outer = tower::util::MapRequestLayer::new(|mut request: Request<_>| {
        request.extensions_mut().insert(User);
        request
    });
    let secret = "Authorization: Basic YTpi\r\nCookie: a=b\r\nProxy-Authorization: Basic YTpi\r\n";
    let service = outer.layer(server.layer().layer(app(&server.log)));
    let mut wire = Wire::serve(service);
    wire.exchange(get(secret)).await.is(ANSWER);
    let in_clear = "clear: GET /x authorization=Basic YTpi cookie=a=b proxy-authorization=Basic YTpi with a user";
    assert_eq!(server.log.take(), [in_clear]);

    let request = get(&format!("{CU}Upgrade: TLS/1.2\r\nA: 1\r\n{secret}"));
    let mut secure = server.switch(wire, &request).await;
    secure.receive().await.is(ANSWER).and_is_open();
    assert_eq!(server.log.take(), ["TLS, from clear: GET /x a=1"]);
    secure.exchange(&get("Cookie: a=b\r\n")).await.is(ANSWER).and_is_open();
    assert_eq!(server.log.take(), ["TLS: GET /x cookie=a=b"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_trust_the_server_gets_no_response() {
    // R2817-3.3-04
    let (server, other) = (Server::new(), Server::new());
    for tls in [&TLS12, &TLS13] {
        let mut wire = server.connect();
        wire.exchange(offer("TLS/1.2")).await.starts_with(SWITCHED);
        let error = Secure::handshake(wire.io, other.client(tls)).await.err().unwrap();
        assert!(error.to_string().contains("certificate"), "{error}");
        settle().await;
        let events = server.log.take();
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].starts_with("failed TLS/1.2 Handler"), "{events:?}");
    }
}
