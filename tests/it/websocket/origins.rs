//! Which pages may open a WebSocket.

use tower_upgrade::websocket::Origins;

use super::{ACCEPT, answer, handler, opened, opening, rejected};
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
    received.is(&rejected("403 Forbidden", "", why)).and_is_open();
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
async fn the_default_needs_the_host_that_the_browser_sees() {
    // The two settings of nginx that the documentation names, and what to set instead.
    for (host, origin, allowed) in [
        // `Host $host` behind port 8080.
        ("a.test", "http://a.test:8080", false),
        // `Host $host:$server_port` on port 8080, with TLS in front of it on 443.
        ("a.test:8080", "https://a.test", false),
        // `Host $http_host`
        ("a.test:8080", "http://a.test:8080", true),
        ("a.test", "https://a.test", true),
    ] {
        assert_eq!(allows(Origins::default(), host, origin).await, allowed, "{origin} at {host}");
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
    assert!(!allows(Origins::list([""; 0]), "a.test", "http://a.test").await);
}

#[tokio::test(start_paused = true)]
async fn a_list_may_have_files_null_and_all_names_below_one() {
    let list = || Origins::list(["https://*.a.test", "http://*.b.test:3000", "null", "file://"]);
    for origin in
        ["https://x.a.test", "https://x.y.a.test:443", "http://x.b.test:3000", "null", "file://"]
    {
        assert!(allows(list(), "other.test", origin).await, "{origin}");
    }
    for origin in [
        "https://a.test",
        "https://.a.test",
        "https://xa.test",
        "http://x.a.test",
        "https://x.a.test:444",
        "https://x.a.test.evil.test",
        "https://x.a.test@evil.test",
        "https://evil.test/.a.test",
        "https://evil.test#.a.test",
        "https://evil.test\\.a.test",
        "http://x.b.test",
        "file:///",
        "file://a.test",
        "NULL",
        "null://",
        "",
    ] {
        assert!(!allows(list(), "a.test", origin).await, "{origin}");
    }
    let list = || Origins::list(["https://a.test"]);
    for origin in ["null", "file://"] {
        assert!(!allows(list(), "a.test", origin).await, "{origin}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_may_decide_by_the_request_and_the_origin() {
    let matching = || {
        Origins::matching(|head, origin| {
            assert_eq!(head.uri.path(), "/x");
            let is_app = origin.scheme() == "app" && origin.port().is_none();
            is_app || origin.is_null() || origin.to_string() == "https://a.test"
        })
    };
    for origin in ["https://a.test", "HTTPS://A.test:443", "app://obsidian.md", "null"] {
        assert!(allows(matching(), "b.test", origin).await, "{origin}");
    }
    for origin in ["http://a.test", "https://a.test:444", "app://obsidian.md:1", "file://"] {
        assert!(!allows(matching(), "a.test", origin).await, "{origin}");
    }
    // It is not asked about these.
    let asked = || Origins::matching(|_, origin| unreachable!("{origin}"));
    for origin in ["", "a.test", "http://a.test/", "http://\u{e9}", "null\r\nOrigin: null"] {
        assert!(!allows(asked(), "a.test", origin).await, "{origin}");
    }
    let handler = |log: &Log| handler(log).origins(asked());
    answer(handler, &opening(&[], &[])).await.0.is(&opened(ACCEPT, ""));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_origin_is_no_pages() {
    // R6455-4.2.1-07
    for origins in [Origins::same_host(), Origins::list(["https://a.test"]), Origins::any()] {
        let handler = |log: &Log| handler(log).origins(origins);
        answer(handler, &opening(&[], &[])).await.0.is(&opened(ACCEPT, ""));
    }
}

#[test]
#[should_panic(expected = "`a.test` is not an origin of pages: scheme://host[:port]")]
fn a_host_without_a_scheme_cannot_be_listed() {
    drop(Origins::list(["a.test"]));
}

#[test]
#[should_panic(expected = "`wss://a.test` is not an origin of pages")]
fn the_address_of_a_websocket_cannot_be_listed() {
    drop(Origins::list(["wss://a.test"]));
}

#[test]
#[should_panic(expected = "`https://*` is not an origin of pages")]
fn every_host_cannot_be_listed() {
    drop(Origins::list(["https://a.test", "https://*"]));
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
        received.is(&rejected("400 Bad Request", "", "Host is malformed")).and_is_open();
    }
    for host in ["a.test", "a.test:3000", "127.0.0.1", "[::1]:3000", "A.TEST", "a_b"] {
        let line = format!("Host: {host}");
        answer(handler, &opening(&["Host"], &[&line])).await.0.is(&opened(ACCEPT, ""));
    }
}
