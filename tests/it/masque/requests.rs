//! Which requests open a tunnel, as bytes of HTTP/1.1 and as streams of HTTP/2.

use http::{Request, Version};
use tokio::io::AsyncWriteExt;

use super::{
    proxy::Proxy,
    support::{BOTH, Http, ask, layer, offer, path, service, wire},
};
use crate::{
    extended_connect::support::{Client, connect},
    support::*,
};

/// A tunnel to a port to which nothing is sent.
const TUNNEL: &str = "/.well-known/masque/udp/127.0.0.1/9/";

const OPENED: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    capsule-protocol: ?1\r\n\
    proxy-status: tower-upgrade; next-hop=\"127.0.0.1:9\"\r\n\
    connection: upgrade\r\n\
    upgrade: connect-udp\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_well_formed_request_is_switched_wherever_it_is_split() {
    // R9298-3.3-01, R9297-3.2-01, R9297-3.4-02
    let request = offer("connect-udp", TUNNEL);
    for at in 0..=request.len() {
        wire().exchange_split(request.as_bytes(), at).await.is(OPENED).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_among_others_is_taken_and_named_alone() {
    // R9298-3.2-03, R9298-3.2-04, R9298-3.3-01, R9110-7.8-05
    for headers in [
        "Connection: Upgrade\r\nUpgrade: connect-udp, foo\r\n",
        "Connection: Upgrade\r\nUpgrade: foo, connect-udp\r\n",
        "Connection: Upgrade\r\nUpgrade: foo\r\nUpgrade: connect-udp\r\n",
        "Connection: keep-alive, UPGRADE\r\nUpgrade: Connect-UDP\r\n",
    ] {
        let request = request(&format!("GET {TUNNEL} HTTP/1.1"), headers);
        wire().exchange(request).await.is(OPENED).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn the_target_of_the_request_may_be_absolute() {
    let request = offer("connect-udp", &format!("http://a.test{TUNNEL}"));
    wire().exchange(request).await.is(OPENED);
}

#[tokio::test(start_paused = true)]
async fn nothing_in_capsule_protocol_makes_a_request_worse() {
    // R9297-3.4-01: the field is a boolean, or as good as absent; and absence is no error.
    for value in
        ["?1", "?1;x=2", "?1; x", "?0", "1", "\"?1\"", "true", "", "?1, ?1", "?2", "?1;", "\u{e4}"]
    {
        for field in [
            format!("Capsule-Protocol: {value}\r\n"),
            format!("Capsule-Protocol: {value}\r\nCapsule-Protocol: ?1\r\n"),
        ] {
            let headers = format!("Connection: Upgrade\r\nUpgrade: connect-udp\r\n{field}");
            let request = request(&format!("GET {TUNNEL} HTTP/1.1"), &headers);
            wire().exchange(request).await.is(OPENED);
        }
    }
}

/// The answer to a request that opens no tunnel.
async fn rejected(request: &str) -> Received {
    let mut wire = wire();
    let received = wire.exchange(request).await;
    assert!(!received.text.to_ascii_lowercase().contains("capsule-protocol"), "{received:?}");
    received
}

#[tokio::test(start_paused = true)]
async fn a_malformed_request_gets_a_400_and_its_connection_stays() {
    // R9298-3.2-01, R9298-3.2-02, R9298-3.2-05, R9298-3.1-02, R9297-3.2-01, R9297-3.4-03, P-54, R9931-5-01
    let cu = "Connection: Upgrade\r\nUpgrade: connect-udp\r\n";
    let udp = "/.well-known/masque/udp";
    for (line, headers) in [
        (format!("POST {TUNNEL}"), format!("Host: a.test\r\n{cu}")),
        (format!("OPTIONS {TUNNEL}"), format!("Host: a.test\r\n{cu}")),
        (format!("GET {TUNNEL}"), cu.to_owned()),
        (format!("GET {TUNNEL}"), format!("Host:\r\n{cu}")),
        (format!("GET {TUNNEL}"), format!("Host: a.test\r\nHost: a.test\r\n{cu}")),
        (format!("GET {TUNNEL}"), format!("Host: a.test\r\nContent-Length: 0\r\n{cu}")),
        (format!("GET {TUNNEL}"), format!("Host: a.test\r\nContent-Type: text/plain\r\n{cu}")),
        (format!("GET {udp}//443/"), format!("Host: a.test\r\n{cu}")),
        (format!("GET {udp}/127.0.0.1//"), format!("Host: a.test\r\n{cu}")),
        (format!("GET {udp}/127.0.0.1/0/"), format!("Host: a.test\r\n{cu}")),
        (format!("GET {udp}/127.0.0.1/65536/"), format!("Host: a.test\r\n{cu}")),
        (format!("GET {udp}/127.0.0.1/443"), format!("Host: a.test\r\n{cu}")),
        (format!("GET {udp}/::1/443/"), format!("Host: a.test\r\n{cu}")),
        (format!("GET {TUNNEL}?x"), format!("Host: a.test\r\n{cu}")),
    ] {
        for protocol in ["udp", "tcp"] {
            let malformed = format!("{line} HTTP/1.1\r\n{headers}\r\n").replace("udp", protocol);
            let received = rejected(&format!("{malformed}{}", get(""))).await;
            received.starts_with("HTTP/1.1 400 Bad Request\r\n").and_is_open();
            let status = "proxy-status: tower-upgrade; error=http_request_error\r\n";
            assert!(received.text.contains(status), "{malformed}: {received:?}");
            assert!(!received.text.contains("connection: "), "{malformed}: {received:?}");
            let answers = received.text.matches("HTTP/1.1 ").count();
            assert_eq!((answers, received.text.contains("HTTP/1.1 404")), (2, true), "{malformed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_body_gets_a_400_and_none_of_it_is_a_capsule() {
    // R9297-3.2-01, R9297-3.2-03
    let cu = "Connection: Upgrade\r\nUpgrade: connect-udp\r\n";
    for (headers, body) in [
        ("Content-Length: 8\r\n", "\0\x06\0hello"),
        ("Transfer-Encoding: chunked\r\n", "8\r\n\0\x06\0hello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Content-Length: 8\r\nExpect: 100-continue\r\n", ""),
    ] {
        let head = request(&format!("GET {TUNNEL} HTTP/1.1"), &format!("{cu}{headers}"));
        let received = rejected(&format!("{head}{body}")).await;
        received.starts_with("HTTP/1.1 400 Bad Request\r\n").and_ends();
        assert!(received.text.contains("\r\nconnection: close\r\n"), "{received:?}");
        assert_eq!(received.text.matches("HTTP/1.1 ").count(), 1, "{received:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_offers_no_tunnel_is_forwarded() {
    // R9298-3.2-03, R9110-7.6.1-06
    let tunnel = format!("GET {TUNNEL} HTTP/1.1");
    for (request, status) in [
        (request(&tunnel, ""), 400),
        (request(&tunnel, "Upgrade: connect-udp\r\n"), 400),
        (request(&tunnel, CU), 400),
        (request(&tunnel, "Connection: Upgrade\r\nUpgrade: nope\r\n"), 400),
        (request(&tunnel, "Connection: Upgrade\r\nUpgrade: connect-udp/1\r\n"), 400),
        // The one handler is not the other.
        (offer("connect-tcp", TUNNEL), 400),
        (offer("connect-udp", "/"), 404),
        (offer("connect-udp", "/.well-known/masque"), 404),
    ] {
        let received = rejected(&request).await;
        received.starts_with(&format!("HTTP/1.1 {status} ")).and_is_open();
        assert!(!received.text.contains("proxy-status"), "{request}: {received:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_rejection_the_connection_is_parsed_as_http() {
    // R9931-3-02, R9931-5-01, P-59
    let denied = offer("connect-udp", "/.well-known/masque/udp/192.0.2.1/53/");
    let nope = request("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: nope\r\n");
    for (first, status) in [(denied, "403 Forbidden"), (nope, "404 Not Found")] {
        let both = format!("{first}{}", get(""));
        for at in 0..=both.len() {
            let received = wire().exchange_split(both.as_bytes(), at).await;
            received.starts_with(&format!("HTTP/1.1 {status}\r\n")).and_is_open();
            assert!(!received.text.contains("connection: close"), "{received:?}");
            let answers: Vec<_> = received.text.match_indices("HTTP/1.1 ").collect();
            assert_eq!(answers.len(), 2, "{received:?}");
            assert!(received.text[answers[1].0..].starts_with("HTTP/1.1 404 "), "{received:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn capsules_behind_a_rejected_request_are_no_http() {
    // R9931-6.3-01: clients must not send them; a server must not act on them.
    let denied = offer("connect-udp", "/.well-known/masque/udp/192.0.2.1/53/");
    let received = wire().exchange(format!("{denied}\0\x06\0hello")).await;
    received.starts_with("HTTP/1.1 403 Forbidden\r\n").and_ends();
    assert!(received.text.ends_with(BAD_REQUEST), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connect_of_http_1_1_is_refused_and_nothing_after_it_is_read() {
    // R9931-8-02
    let mut wire = wire();
    let connect = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";
    let received = wire.exchange(format!("{connect}{}", get(""))).await;
    received.starts_with("HTTP/1.1 501 Not Implemented\r\n").and_ends();
    assert!(received.text.contains("connection: close\r\n"), "{received:?}");
    assert_eq!(received.text.matches("HTTP/1.1 ").count(), 1, "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn in_http_2_the_same_rules_hold_without_host_and_upgrade() {
    // R9298-3.1-02, R9297-3.2-01, R9220-3-01, R9297-3.4-03
    let log = Log::default();
    let mut client = Client::serve(service(&layer(Proxy::default(), &log))).await;
    let udp = "/.well-known/masque/udp";
    let opened = ["capsule-protocol: ?1", "proxy-status: tower-upgrade; next-hop=\"127.0.0.1:9\""];
    client.send(connect("connect-udp", TUNNEL, &[])).await.is(200, &opened);
    client
        .send(connect("Connect-UDP", TUNNEL, &[("capsule-protocol", "?0")]))
        .await
        .is(200, &opened);
    for (protocol, path, header, status) in [
        ("connect-udp", TUNNEL.to_owned(), Some(("content-length", "0")), 400),
        ("connect-udp", TUNNEL.to_owned(), Some(("content-type", "text/plain")), 400),
        ("connect-udp", format!("{udp}//443/"), None, 400),
        ("connect-udp", format!("{udp}/127.0.0.1/0/"), None, 400),
        ("connect-udp", format!("{udp}/192.0.2.1/443/"), None, 403),
        ("connect-udp", "/".to_owned(), None, 501),
        ("connect-tcp", TUNNEL.to_owned(), None, 501),
        ("connect-ip", TUNNEL.to_owned(), None, 501),
    ] {
        let answer = client.send(connect(protocol, &path, header.as_slice())).await;
        assert_eq!(answer.status, status, "{protocol} {path}");
        let has = |name: &str| answer.headers.iter().any(|line| line.starts_with(name));
        assert_eq!(
            (has("capsule-protocol"), has("proxy-status")),
            (false, status != 501),
            "{path}"
        );
    }
    // A GET opens no tunnel here, and neither does a CONNECT without a protocol.
    let request = Request::get(format!("http://a.test{TUNNEL}")).body(()).unwrap();
    assert_eq!(client.send(request).await.status, 400);
    let request = Request::connect("a.test:443").version(Version::HTTP_2).body(()).unwrap();
    assert_eq!(client.send(request).await.status, 501);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_answered_with_the_next_hop_in_both_versions() {
    let layer = layer(Proxy::default(), &Log::default());
    for http in BOTH {
        for (host, hop) in [("127.0.0.1", "127.0.0.1:9"), ("127.8.8.8", "127.8.8.8:9")] {
            let path = path("connect-udp", 9).replace("127.0.0.1", host);
            let status = format!("proxy-status: tower-upgrade; next-hop=\"{hop}\"");
            let mut answer = ask(http, &layer, "connect-udp", &path).await;
            let expected = if http == Http::One { 101 } else { 200 };
            answer.is(expected, &["capsule-protocol: ?1", &status]);
            answer.tunnel().shutdown().await.unwrap();
        }
    }
}
