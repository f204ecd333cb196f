//! The opening handshake of WebSocket, over the wire.

mod extensions;
#[cfg(feature = "axum")]
mod extractor;
mod offer;
mod origins;
#[cfg(all(feature = "tracing", feature = "metrics"))]
mod reasons;
mod subprotocols;

use http::{Method, StatusCode};
use tower::Layer;
use tower_upgrade::{
    Preference, UpgradeHandler, UpgradeLayer, Upgraded,
    websocket::{Handshake, WebSocket},
};

use crate::support::*;

/// The headers of a handshake in which everything is right. Tests replace some of them.
const RIGHT: [&str; 5] = [
    "Host: a.test",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// RFC 6455 §1.3 computes this answer to its sample key.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request with the right headers, without those named `without`, and with `more`.
fn opening(without: &[&str], more: &[&str]) -> String {
    let named = |line: &&str| !without.iter().any(|name| line.starts_with(&format!("{name}:")));
    let lines: Vec<_> = RIGHT.into_iter().filter(named).chain(more.iter().copied()).collect();
    format!("GET /x HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"))
}

/// A handler that logs what was agreed on and echoes bytes.
fn handler(log: &Log) -> WebSocket {
    let log = log.clone();
    WebSocket::new(move |io: Upgraded, handshake: Handshake| {
        let Handshake { head, subprotocol, extensions, .. } = handshake;
        log.push(format!("opened {} {subprotocol:?} {extensions:?}", head.uri));
        echo_run(&log, "websocket")(io)
    })
}

fn connect_to(log: &Log, handler: impl UpgradeHandler) -> Wire {
    Wire::serve(UpgradeLayer::new().on("websocket", handler).layer(inner(log)))
}

async fn answer(handler: impl FnOnce(&Log) -> WebSocket, request: &str) -> (Received, Log) {
    let log = Log::default();
    let handler = handler(&log);
    let received = connect_to(&log, handler).exchange(request).await;
    (received, log)
}

/// The 101, with these headers more.
fn opened(accept: &str, more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {accept}\r\n{more}\
         connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
}

fn rejected(status: &str, headers: &str, why: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n{headers}content-length: {}\r\n\r\n{why}\n",
        why.len() + 1,
    )
}

#[tokio::test(start_paused = true)]
async fn a_right_handshake_opens_wherever_it_is_split() {
    // R6455-4.2.2-5.1..5.4, P-03, R6455-4.1-wait: the first frame may come with the handshake.
    let bytes = opening(&[], &[]) + "frame";
    for at in 0..bytes.len() - "frame".len() {
        let log = Log::default();
        let mut wire = connect_to(&log, handler(&log));
        let received = wire.exchange_split(bytes.as_bytes(), at).await;
        received.is(&(opened(ACCEPT, "") + "[frame]")).and_is_open();
        assert_eq!(log.take()[0], "opened /x None None");
    }
}

#[tokio::test(start_paused = true)]
async fn the_offer_is_read_as_every_other() {
    for (without, more) in [
        ("Upgrade", "Upgrade: WEBSOCKET"),
        ("Upgrade", "Upgrade: foo, websocket"),
        ("Upgrade", "Upgrade: proto1, websocket, proto2\r\nUpgrade: proto3"),
        ("Upgrade", "Upgrade: ,, websocket ,"),
        ("Upgrade", "Upgrade: websocket, websocket"),
        ("Connection", "Connection: keep-alive, Upgrade"),
        ("Connection", "Connection: keep-alive\r\nConnection: UPGRADE"),
    ] {
        // R6455-4.2.1-03, R6455-4.2.1-04, R6455-4.1-client-check: exactly `websocket` comes back.
        answer(handler, &opening(&[without], &[more])).await.0.is(&opened(ACCEPT, ""));
    }
    for (without, more) in [
        ("Upgrade", "Upgrade: websocket/13"),
        ("Upgrade", "Upgrade: websockets"),
        ("Upgrade", "X: y"),
        ("Connection", "Connection: keep-alive"),
        ("Connection", "X: y"),
    ] {
        let (received, log) = answer(handler, &opening(&[without], &[more])).await;
        received.is(OK);
        assert_eq!(log.count("inner"), 1);
    }
    // R6455-4.2.1-01: RFC 9110 has HTTP/1.0 ignore the offer.
    let (received, _) = answer(handler, &opening(&[], &[]).replace("HTTP/1.1", "HTTP/1.0")).await;
    received.starts_with("HTTP/1.0 200 OK").and_ends();
}

#[tokio::test(start_paused = true)]
async fn absolute_targets_and_unrelated_headers_are_fine() {
    // R6455-4.2.1-01, R6455-4.2.1-10
    let request =
        opening(&[], &["Cookie: a=b", "Authorization: x"]).replace("GET /x", "GET http://a.test/x");
    let (received, log) = answer(handler, &request).await;
    received.is(&opened(ACCEPT, ""));
    assert_eq!(log.take()[0], "opened http://a.test/x None None");
}

#[tokio::test(start_paused = true)]
async fn another_method_is_told_which_is_allowed() {
    // R6455-4.2.1-01, R9110-15.5.6-01
    for method in ["POST", "PUT", "OPTIONS", "get"] {
        let request = opening(&[], &[]).replace("GET", method);
        let why = "a WebSocket is opened with GET";
        let (received, log) = answer(handler, &request).await;
        received.is(&rejected("405 Method Not Allowed", "allow: GET\r\n", why)).and_is_open();
        assert_eq!(log.take(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn host_key_and_version_have_to_be_there_exactly_once() {
    // R6455-4.2.1-02, R9112-3.2-01, R6455-11.3.1-01, R6455-11.3.5-01, HAP-08
    for name in ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        let line = RIGHT.into_iter().find(|line| line.starts_with(name)).unwrap();
        for request in [opening(&[name], &[]), opening(&[], &[line])] {
            let (received, log) = answer(handler, &request).await;
            let why = format!("{name} has to be there exactly once");
            received.is(&rejected("400 Bad Request", "", &why)).and_is_open();
            assert_eq!(log.take(), [""; 0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_the_base64_of_16_bytes() {
    // R6455-4.2.1-05
    for key in [
        "",
        "abc",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25jZTEy",
        "____IHNhbXBsZSBub25jZQ==",
        "dGhl IHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ==, x",
        "=dGhlIHNhbXBsZSBub25jZQ=",
    ] {
        let line = format!("Sec-WebSocket-Key: {key}");
        let (received, _) = answer(handler, &opening(&["Sec-WebSocket-Key"], &[&line])).await;
        let why = "Sec-WebSocket-Key is malformed";
        received.is(&rejected("400 Bad Request", "", why)).and_is_open();
    }
    // RFC 6455 §4.1 has a key with bits behind its last byte. It counts as it was sent.
    for line in [
        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==",
        "Sec-WebSocket-Key:\tAQIDBAUGBwgJCgsMDQ4PEC== ",
    ] {
        let (received, _) = answer(handler, &opening(&["Sec-WebSocket-Key"], &[line])).await;
        received.is(&opened("OfS0wDaT5NoxF2gqm7Zj2YtetzM=", ""));
    }
}

#[tokio::test(start_paused = true)]
async fn another_version_is_told_which_is_spoken() {
    // R6455-4.2.2-version, R9110-15.5.22-01, R9110-7.8-10, R9110-7.8-14, SMU-03
    for version in ["0", "8", "12", "14", "25", "255"] {
        let line = format!("Sec-WebSocket-Version: {version}");
        let log = Log::default();
        let mut wire = connect_to(&log, handler(&log));
        let request = opening(&["Sec-WebSocket-Version", "Sec-WebSocket-Key"], &[&line]);
        let headers = "sec-websocket-version: 13\r\nupgrade: websocket\r\nconnection: upgrade\r\n";
        let why = "this server speaks only version 13 of WebSocket";
        let rejection = rejected("426 Upgrade Required", headers, why);
        // The connection is still one of HTTP.
        wire.exchange(request + &get("")).await.is(&(rejection + OK)).and_is_open();
        wire.exchange(opening(&[], &[])).await.is(&opened(ACCEPT, ""));
    }
    for version in ["", "013", "+13", "13.0", "13, 8", "-1", "256", "1000", "x", "00"] {
        let line = format!("Sec-WebSocket-Version: {version}");
        let (received, _) = answer(handler, &opening(&["Sec-WebSocket-Version"], &[&line])).await;
        let why = "Sec-WebSocket-Version is malformed";
        received.is(&rejected("400 Bad Request", "", why)).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn the_application_may_reject_and_may_add_to_the_request() {
    // R6455-4.2.2-auth
    #[derive(Clone)]
    struct User(String);

    let log = Log::default();
    let seen = log.clone();
    let handler = WebSocket::new(move |_io: Upgraded, handshake: Handshake| {
        seen.push(handshake.head.extensions.get::<User>().unwrap().0.clone());
        async {}
    })
    .on_connect(|mut handshake: Handshake| async move {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let Some(name) = handshake.head.headers.get("cookie") else {
            return Err(StatusCode::UNAUTHORIZED);
        };
        let user = User(name.to_str().unwrap().into());
        handshake.head.extensions.insert(user);
        Ok(handshake)
    });
    let mut wire = connect_to(&log, handler);
    wire.send(opening(&[], &[])).await;
    settle().await;
    wire.receive().await.is("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").and_is_open();
    wire.send(opening(&[], &["Cookie: Ada"])).await;
    settle().await;
    wire.receive().await.is(&opened(ACCEPT, ""));
    assert_eq!(log.take(), ["Ada"]);
}

#[tokio::test(start_paused = true)]
async fn another_path_is_the_inner_services() {
    // R6455-4.2.2-resource
    let log = Log::default();
    let mut wire = connect_to(&log, handler(&log).when(|head| head.uri.path() == "/chat"));
    wire.exchange(opening(&[], &[])).await.is(OK);
    // Even the method is not looked at there.
    wire.exchange(opening(&[], &[]).replace("GET", "POST")).await.is(OK);
    wire.exchange(opening(&[], &[]).replace("/x", "/chat")).await.is(&opened(ACCEPT, ""));
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_body_is_the_inner_services() {
    // R9110-7.8-13, S-1
    let (received, log) = answer(handler, &(opening(&[], &["Content-Length: 5"]) + "hello")).await;
    received.is(OK);
    assert_eq!(log.take(), ["inner GET /x \"hello\" upgradable"]);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_of_http_2_is_forwarded() {
    // P-31, R8441-5-01: extended CONNECT has no `Upgrade`.
    let log = Log::default();
    let layer = UpgradeLayer::new().on("websocket", handler(&log));
    let mut service = layer.layer(tower::service_fn(|request: http::Request<String>| async move {
        assert_eq!(request.method(), Method::CONNECT);
        Ok::<_, std::convert::Infallible>(http::Response::new(String::from("inner")))
    }));
    let mut request = http::Request::new(String::new());
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = http::Version::HTTP_2;
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    request.extensions_mut().insert(hyper::upgrade::on(http::Request::new(())));
    let response = tower::Service::call(&mut service, request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn of_two_protocols_the_preferred_one_is_opened() {
    // P-45
    let log = Log::default();
    for (preference, offer, expected) in [
        (Preference::Client, "foo, websocket", switching("foo")),
        (Preference::Client, "websocket, foo", opened(ACCEPT, "")),
        (Preference::Server, "foo, websocket", opened(ACCEPT, "")),
    ] {
        let layer = UpgradeLayer::new()
            .on("websocket", handler(&log))
            .on("foo", echo(&log, "foo"))
            .preference(preference);
        let request = opening(&["Upgrade"], &[&format!("Upgrade: {offer}")]);
        Wire::serve(layer.layer(inner(&log))).exchange(request).await.is(&expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_sent_at_once_where_a_100_is_expected() {
    // R9110-10.1.1-03. With a body the request would be the inner service's.
    let request = opening(&["Sec-WebSocket-Key"], &["Expect: 100-continue"]);
    let (received, _) = answer(handler, &request).await;
    received.starts_with("HTTP/1.1 400 Bad Request\r\n").and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_rejection_may_ask_for_a_login_or_redirect() {
    // R6455-4.2.2-auth
    for (status, name, value, line) in [
        (401, "www-authenticate", "Basic realm=\"a\"", "HTTP/1.1 401 Unauthorized"),
        (302, "location", "/login", "HTTP/1.1 302 Found"),
    ] {
        let rejecting = move |log: &Log| {
            handler(log).on_connect(move |_| async move {
                let response = http::Response::builder().status(status).header(name, value);
                Err(response.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap())
            })
        };
        let (received, _) = answer(rejecting, &opening(&[], &[])).await;
        let expected = format!("{line}\r\n{name}: {value}\r\ncontent-length: 0\r\n\r\n");
        received.is(&expected).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_path_is_a_404_of_the_router() {
    // R6455-4.2.2-resource
    let log = Log::default();
    let layer =
        UpgradeLayer::new().on("websocket", handler(&log).when(|head| head.uri.path() == "/chat"));
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "page" }));
    let mut wire = Wire::serve(layer.layer(app));
    wire.exchange(opening(&[], &[])).await.starts_with("HTTP/1.1 404 Not Found").and_is_open();
}
