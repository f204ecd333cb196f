//! Which pages may open a WebSocket.

use tower_upgrade::websocket::Origins;

use super::{ACCEPT, answer, handler, opened, opening, refused};
use crate::support::Log;

/// Whether a page of this origin may open a WebSocket at this host.
async fn allows(origins: Origins, host: &str, origin: &str) -> bool {
    let handler = |log: &Log| handler(log).origins(origins);
    let lines = [format!("Host: {host}"), format!("Origin: {origin}")];
    let (received, log) = answer(handler, &opening(&["Host"], &[&lines[0], &lines[1]])).await;
    let why = "pages of this origin may not connect";
    if log.count("opened") == 1 {
        received.is(&opened(ACCEPT, ""));
        return true;
    }
    received.is(&refused("403 Forbidden", "", why)).and_is_open();
    false
}

#[tokio::test(start_paused = true)]
async fn by_default_pages_of_the_same_host_may_connect() {
    // R6455-4.2.2-origin
    for (host, origin) in [
        ("a.test", "http://a.test"),
        ("a.test", "https://a.test"),
        ("a.test:80", "http://a.test"),
        ("a.test", "http://a.test:80"),
        ("a.test:443", "https://a.test"),
        ("A.test", "HTTPS://a.TEST"),
        ("a.test:3000", "http://a.test:3000"),
        ("[::1]:3000", "http://[::1]:3000"),
    ] {
        assert!(allows(Origins::same_host(), host, origin).await, "{origin} at {host}");
    }
    for (host, origin) in [
        ("a.test", "http://evil.test"),
        ("a.test", "http://a.test.evil.test"),
        ("a.test", "http://sub.a.test"),
        ("a.test", "http://a.test:81"),
        ("a.test:443", "http://a.test"),
        ("a.test", "http://a.test:443"),
        ("a.test", "http://a.test@evil.test"),
        ("a.test", "http://evil.test@a.test"),
        ("a.test", "http://a.test/"),
        ("a.test", "http://a.test/path"),
        ("a.test", "a.test"),
        ("a.test", "null"),
        ("a.test", ""),
        ("a.test", "http://a.test, http://a.test"),
        ("a.test", "http://a.test\r\nOrigin: http://a.test"),
        ("a.test", "http://\u{e9}"),
        ("localhost", "tauri://localhost"),
        ("a.test", "chrome-extension://a.test"),
        ("a.test", "://a.test"),
        ("a.test", "ws://a.test"),
        ("a.test.", "http://a.test"),
    ] {
        assert!(!allows(Origins::same_host(), host, origin).await, "{origin} at {host}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_origins_is_exact() {
    let list = || Origins::list(["https://a.test", "http://b.test:8080"]);
    for origin in ["https://a.test", "https://a.test:443", "HTTP://B.test:8080"] {
        assert!(allows(list(), "other.test", origin).await, "{origin}");
    }
    for origin in
        ["http://a.test", "https://a.test:8443", "http://b.test", "null", "https://c.test"]
    {
        assert!(!allows(list(), "a.test", origin).await, "{origin}");
    }
    for origin in ["http://evil.test", "null", "nonsense", "x\r\nOrigin: y"] {
        assert!(allows(Origins::any(), "a.test", origin).await, "{origin}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_origin_is_no_page() {
    // R6455-4.2.1-07
    for origins in [Origins::same_host(), Origins::list(["https://a.test"]), Origins::any()] {
        let handler = |log: &Log| handler(log).origins(origins);
        answer(handler, &opening(&[], &[])).await.0.is(&opened(ACCEPT, ""));
    }
}

#[test]
#[should_panic(expected = "`a.test` is not an origin of pages: scheme://host[:port]")]
fn what_is_no_origin_cannot_be_listed() {
    drop(Origins::list(["a.test"]));
}

#[test]
#[should_panic(expected = "`wss://a.test` is not an origin of pages")]
fn the_address_of_a_websocket_cannot_be_listed() {
    drop(Origins::list(["wss://a.test"]));
}

#[tokio::test(start_paused = true)]
async fn an_absolute_target_counts_instead_of_the_host() {
    // RFC 9112 section 3.2.2
    for (origin, opens) in [("http://a.test", true), ("http://evil.test", false)] {
        let lines = [String::from("Host: evil.test"), format!("Origin: {origin}")];
        let request =
            opening(&["Host"], &[&lines[0], &lines[1]]).replace("GET /x", "GET http://a.test/x");
        let (received, _) = answer(handler, &request).await;
        received.starts_with(if opens { "HTTP/1.1 101" } else { "HTTP/1.1 403" });
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_has_to_be_one() {
    // R9112-3.2-01
    for host in ["", "a b", "a/b?c", ":::", "[::1", "user:pw@a.test", "a.test, b.test", "a.test:x"]
    {
        let line = format!("Host: {host}");
        let (received, _) = answer(handler, &opening(&["Host"], &[&line])).await;
        received.is(&refused("400 Bad Request", "", "Host is malformed")).and_is_open();
    }
    for host in ["a.test", "a.test:3000", "127.0.0.1", "[::1]:3000", "A.TEST", "a_b"] {
        let line = format!("Host: {host}");
        answer(handler, &opening(&["Host"], &[&line])).await.0.is(&opened(ACCEPT, ""));
    }
}
