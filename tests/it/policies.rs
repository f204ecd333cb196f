//! What becomes of requests that no handler takes: `required`, `advertise` and `strip`.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::upgrade::OnUpgrade;
use tower::{Layer, ServiceExt, service_fn};
use tower_upgrade::{AtCapacity, Rejection, Switch, UpgradeHandler, UpgradeLayer, Upgraded};

use crate::{extended_connect::support, support::*};

/// The registered protocols of the fixture.
const LIST: &str = "websocket, h2c, TLS, connect-udp, foo, bar/2";

fn serve(log: &Log, layer: &UpgradeLayer) -> Wire {
    Wire::serve(layer.layer(inner(log)))
}

fn upgrade_required(connection: &str) -> String {
    let text = format!("an upgrade is required, to one of these protocols: {LIST}\n");
    format!(
        "HTTP/1.1 426 Upgrade Required\r\ncontent-type: text/plain; charset=utf-8\r\n\
         upgrade: {LIST}\r\nconnection: {connection}\r\ncontent-length: {}\r\n\r\n{text}",
        text.len(),
    )
}

/// Requests that no handler of the fixture takes, and no body is left unread of.
const NOT_TAKEN: [&str; 9] = [
    "",
    // R9931-3-02, R9110-7.8-03
    "Connection: upgrade\r\nUpgrade: nope\r\n",
    // P-21, P-22, P-23
    "Upgrade: foo\r\n",
    "Connection: upgrade\r\n",
    "Connection: not-upgrade\r\nUpgrade: foo\r\n",
    // P-06, P-14, P-46
    "Connection: upgrade\r\nUpgrade: ,\r\n",
    "Connection: upgrade\r\nUpgrade: foo bar\r\n",
    "Connection: upgrade\r\nUpgrade: websocket/13\r\n",
    "Content-Length: 0\r\n",
];

#[tokio::test(start_paused = true)]
async fn required_answers_426_wherever_the_request_is_split() {
    // R9110-7.8-10, R9110-15.5.22-01, R9110-7.6.1-02, R9110-7.8-14
    for headers in NOT_TAKEN {
        let bytes = get(headers);
        for at in 0..bytes.len() {
            let log = Log::default();
            let mut wire = serve(&log, &fixture(&log).required());
            let received = wire.exchange_split(bytes.as_bytes(), at).await;
            received.is(&upgrade_required("upgrade")).and_is_open();
            // R9931-5-01: the connection is still HTTP/1.1.
            wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]")).and_is_open();
            assert_eq!(log.count("inner"), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn required_answers_any_method() {
    // P-62
    for line in ["POST /x", "HEAD /x", "OPTIONS *", "OPTIONS /x", "TRACE /x", "PURGE /x"] {
        let log = Log::default();
        let mut wire = serve(&log, &fixture(&log).required());
        let expected = upgrade_required("upgrade");
        let (head, _) = expected.split_at(expected.find("\r\n\r\n").unwrap() + 4);
        let expected = if line.starts_with("HEAD") { head } else { &expected };
        wire.exchange(request(&format!("{line} HTTP/1.1"), "")).await.is(expected).and_is_open();
        assert_eq!(log.take(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn required_closes_where_bytes_may_be_left_over() {
    // R9110-10.1.1-08: an unread body. R9931-8-02: bytes for a tunnel that was not opened.
    let chunked = "Transfer-Encoding: chunked\r\n";
    for bytes in [
        post("Content-Length: 5\r\n", "hello"),
        post("Content-Length: 5\r\n", ""),
        post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""),
        post(chunked, "5\r\nhello\r\n0\r\n\r\n"),
        post(chunked, "0\r\n\r\n"),
        String::from_utf8(offering("Content-Length: 5\r\n", "hello")).unwrap(),
        request("CONNECT a.test:443 HTTP/1.1", "") + "GET /smuggled HTTP/1.1\r\n\r\n",
    ] {
        let log = Log::default();
        let received = serve(&log, &fixture(&log).required()).exchange(&bytes).await;
        received.is(&upgrade_required("upgrade, close")).and_ends();
        assert_eq!(log.take(), [""; 0], "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn required_has_no_upgrade_header_outside_of_http_1_1() {
    // R9110-7.8-15, R9113-8.2.2-01, R9220-3-01
    let required = "HTTP/1.1 is required, and an upgrade to one of these protocols: foo, bar/1\n";
    let connect = "an extended CONNECT is required, to one of these protocols: foo, bar/1\n";
    let unknown = "a `:protocol` is required that is one of these: foo, bar/1\n";
    for (version, method, extended, status, text) in [
        (Version::HTTP_09, "GET", false, 505, required),
        (Version::HTTP_10, "GET", true, 505, required),
        (Version::HTTP_2, "GET", false, 505, required),
        (Version::HTTP_2, "CONNECT", false, 505, required),
        (Version::HTTP_3, "GET", true, 505, required),
        (Version::HTTP_2, "GET", true, 405, connect),
        (Version::HTTP_2, "CONNECT", true, 501, unknown),
    ] {
        let handler = async |_: Request<Bytes>| Switch::to(async |_: Upgraded| ());
        let layer = UpgradeLayer::new().on("foo/*", handler).on("bar/1", handler).required();
        let layer = if extended { layer.extended_connect() } else { layer };
        let request = Request::builder().version(version).method(method).uri("http://a.test/x");
        let request = request.header("upgrade", "foo").header("connection", "upgrade");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = layer.into_service().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{version:?} {method} {extended}");
        assert!(!response.headers().contains_key("upgrade"));
        assert!(!response.headers().contains_key("connection"));
        let allow = response.headers().get("allow").map(|allow| allow.to_str().unwrap());
        assert_eq!(allow, (status == 405).then_some("CONNECT"));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn required_on_the_wire_of_http_1_0_and_http_2() {
    let log = Log::default();
    let received =
        serve(&log, &fixture(&log).required()).exchange(request("GET /x HTTP/1.0", FOO)).await;
    received.starts_with("HTTP/1.0 505 HTTP Version Not Supported\r\n").and_ends();
    assert!(!received.text.to_lowercase().contains("\r\nupgrade:"), "{received:?}");

    let layer = fixture(&log).required().extended_connect();
    let mut client = support::Client::serve(layer.layer(inner(&log))).await;
    let length = |text: &str| format!("content-length: {}", text.len());
    for (request, status, text) in [
        (
            Request::get("http://a.test/x").body(()).unwrap(),
            405,
            format!("an extended CONNECT is required, to one of these protocols: {LIST}\n"),
        ),
        // R9220-3-01
        (
            support::connect("nope", "/x", &[]),
            501,
            format!("a `:protocol` is required that is one of these: {LIST}\n"),
        ),
    ] {
        let answer = client.send(request).await;
        assert_eq!((answer.status.as_u16(), &answer.text), (status, &text));
        assert!(answer.headers.contains(&length(&text)), "{:?}", answer.headers);
    }
    assert_eq!(client.connect("foo").await.exchange("NP").await, "[NP]");
    assert_eq!(log.count("inner"), 0);
}

#[tokio::test(start_paused = true)]
async fn required_without_a_registration_is_501() {
    let service = UpgradeLayer::new().into_service();
    let response = service.oneshot(Request::new(Empty::<Bytes>::new())).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(!response.headers().contains_key("upgrade"));
}

#[tokio::test(start_paused = true)]
async fn required_forwards_nothing_when_there_is_no_place() {
    // `optional` is a protocol such as h2c, whose requests are forwarded otherwise.
    struct Optional;

    impl UpgradeHandler for Optional {
        fn is_optional(&self) -> bool {
            true
        }

        async fn upgrade(&self, _: Request<Bytes>) -> Result<Switch, Rejection> {
            Ok(Switch::to(async |_: Upgraded| ()))
        }
    }

    let log = Log::default();
    let layer =
        UpgradeLayer::new().on("foo", echo(&log, "foo")).on("optional", Optional).required();
    let full = layer.clone().max_connections(0).at_capacity(AtCapacity::Forward);
    let drained = layer.with_connections(tower_upgrade::Connections::new());
    drained.connections().drain();
    for layer in [full, drained] {
        for protocol in ["foo", "optional"] {
            let bytes = get(&format!("{CU}Upgrade: {protocol}\r\n"));
            let received = serve(&log, &layer).exchange(bytes).await;
            received.starts_with("HTTP/1.1 503 ");
        }
    }
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn required_leaves_the_answer_to_an_inner_service_that_is_asked() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on_inner("foo").required();
    let mut wire = serve(&log, &layer);
    wire.exchange(get(FOO)).await.is(OK).and_is_open();
    wire.exchange(get("")).await.starts_with("HTTP/1.1 426 ").and_is_open();
    // And without one there is nobody to ask.
    let mut wire = Wire::serve(UpgradeLayer::new().on_inner("foo").into_service());
    wire.exchange(get(FOO)).await.starts_with("HTTP/1.1 501 ").and_is_open();
}

#[tokio::test(start_paused = true)]
async fn required_is_counted_beside_the_reason_of_an_offer() {
    let log = Log::default();
    let layer = fixture(&log).required();
    let mut wire = serve(&log, &layer);
    for headers in NOT_TAKEN {
        wire.exchange(get(headers)).await;
    }
    let stats = layer.connections().stats();
    assert_eq!(stats.required, 9);
    assert_eq!((stats.declined.connection, stats.declined.upgrade), (2, 2));
    assert_eq!((stats.declined.unregistered, stats.rejected, stats.active), (2, 0, 0));
}

/// RFC 9110 §7.8 has this example, and MDN's page on `Upgrade` a similar one.
#[tokio::test(start_paused = true)]
async fn each_protocol_of_a_list_is_taken_by_whoever_speaks_it() {
    let offer = "Connection: upgrade\r\nUpgrade: HTTP/2.0, SHTTP/1.3, IRC/6.9, RTA/x11\r\n";
    for protocol in ["HTTP/2.0", "SHTTP/1.3", "IRC/6.9", "RTA/x11"] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on(protocol, echo(&log, "it"));
        for layer in [layer.clone(), layer.clone().required(), layer.clone().advertise()] {
            let mut wire = serve(&log, &layer);
            wire.exchange(get(offer) + "NP")
                .await
                .is(&(switching(protocol) + "[NP]"))
                .and_is_open();
        }
        let (name, version) = protocol.split_once('/').unwrap();
        let other = format!("{CU}Upgrade: {name}/{version}0, {name}\r\n");
        let received = serve(&log, &layer.required()).exchange(get(&other)).await;
        received.starts_with("HTTP/1.1 426 ").and_is_open();
        assert!(received.text.contains(&format!("\r\nupgrade: {protocol}\r\n")), "{received:?}");
    }
}

/// Serves an inner service with this response below a layer that advertises.
async fn advertised(
    status: u16,
    headers: &[(&'static str, &'static str)],
    request: &str,
) -> String {
    let headers = headers.to_vec();
    let inner = service_fn(move |_: Request<hyper::body::Incoming>| {
        let response = Response::builder().status(status);
        let response =
            headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
        async move { Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap()) }
    });
    let handler = async |_: Request<Bytes>| Err::<Switch, _>(StatusCode::FORBIDDEN);
    let layer = UpgradeLayer::new().on("foo/*", handler).on("bar/2", handler).advertise();
    let received = Wire::serve(layer.layer(inner)).exchange(request).await;
    let lines = received.text.lines().filter(|line| {
        line.starts_with("HTTP/") || line.starts_with("upgrade:") || line.starts_with("connection:")
    });
    lines.collect::<Vec<_>>().join("|")
}

#[tokio::test(start_paused = true)]
async fn advertise_adds_to_forwarded_responses_what_is_not_there() {
    // R9110-7.8-11, R9110-7.8-14, R9110-5.6.1.1-01
    let plain = get("");
    for (headers, expected) in [
        (&[][..], "upgrade: foo, bar/2|connection: upgrade"),
        (&[("connection", "x")], "connection: upgrade, x|upgrade: foo, bar/2"),
        (&[("connection", "x, Upgrade")], "connection: x, Upgrade|upgrade: foo, bar/2"),
        (&[("upgrade", "bar/2")], "upgrade: bar/2|upgrade: foo|connection: upgrade"),
        (&[("upgrade", "x, FOO, bar/2")], "upgrade: x, FOO, bar/2|connection: upgrade"),
        (&[("connection", "")], "connection: upgrade|upgrade: foo, bar/2"),
    ] {
        let expected = format!("HTTP/1.1 200 OK|{expected}");
        assert_eq!(advertised(200, headers, &plain).await, expected, "{headers:?}");
    }
    // P-03, P-11: so with an offer that nobody takes.
    for request in [get("Upgrade: foo\r\n"), get(&format!("{CU}Upgrade: nope\r\n"))] {
        let expected = "HTTP/1.1 200 OK|upgrade: foo, bar/2|connection: upgrade";
        assert_eq!(advertised(200, &[], &request).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn advertise_leaves_other_responses_alone() {
    let advertised_by_us = "|upgrade: foo, bar/2|connection: upgrade";
    let http_1_0 = request("GET /x HTTP/1.0", "");
    let connect = request("CONNECT a.test:443 HTTP/1.1", "");
    for (status, request, expected) in [
        (404, get(""), format!("HTTP/1.1 404 Not Found{advertised_by_us}")),
        (204, get(""), format!("HTTP/1.1 204 No Content{advertised_by_us}")),
        (304, get(""), format!("HTTP/1.1 304 Not Modified{advertised_by_us}")),
        (426, get(""), "HTTP/1.1 426 Upgrade Required".into()),
        (101, get(""), "HTTP/1.1 101 Switching Protocols".into()),
        (200, http_1_0, "HTTP/1.0 200 OK".into()),
        (200, connect, "HTTP/1.1 200 OK".into()),
        // A rejection is the handler's response.
        (200, get(FOO), "HTTP/1.1 403 Forbidden".into()),
    ] {
        assert_eq!(advertised(status, &[], &request).await, expected, "{status} {request}");
    }
}

#[tokio::test(start_paused = true)]
async fn advertise_is_not_repeated_by_layers_around_one_another() {
    let log = Log::default();
    let layer = fixture(&log).advertise();
    let mut wire = Wire::serve(layer.clone().layer(layer.layer(inner(&log))));
    let expected =
        OK.replacen("\r\n", &format!("\r\nupgrade: {LIST}\r\nconnection: upgrade\r\n"), 1);
    wire.exchange(get("")).await.is(&expected).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn advertise_adds_to_the_answer_of_an_inner_service_that_was_asked() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on_inner("foo").advertise();
    let received = serve(&log, &layer).exchange(get(FOO)).await;
    assert!(received.text.contains("\r\nupgrade: foo\r\nconnection: upgrade\r\n"), "{received:?}");
}

/// Logs the headers that the inner service of a layer gets, and whether it has hyper's `OnUpgrade`.
fn stripped(log: &Log, layer: &UpgradeLayer) -> Wire {
    let log = log.clone();
    let inner = service_fn(move |request: Request<hyper::body::Incoming>| {
        let lines: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let upgradable = request.extensions().get::<OnUpgrade>().is_some();
        log.push(format!("{}{}", lines.join("|"), if upgradable { " upgradable" } else { "" }));
        async {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(Response::new(Full::from(body)))
        }
    });
    Wire::serve(layer.layer(inner))
}

#[tokio::test(start_paused = true)]
async fn strip_forwards_no_part_of_an_upgrade() {
    // S-3, S-4, S-23, R9110-7.6.1-03, R9110-7.6.1-04: also if `HTTP2-Settings` is not named.
    for (headers, forwarded) in [
        ("A: 1\r\n", "a: 1"),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nA: 1\r\n",
            "a: 1",
        ),
        ("Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nA: 1\r\n", "a: 1"),
        ("Upgrade: foo, h2c\r\nA: 1\r\nUpgrade: bar\r\nB: 2\r\n", "a: 1|b: 2"),
        ("A: 1\r\nHTTP2-Settings: AAMA\r\nB: 2\r\n", "a: 1|b: 2"),
        (
            "Connection: upgrade, x-real-ip\r\nX-Real-IP: ::1\r\nUpgrade: nope\r\n",
            "connection: x-real-ip|x-real-ip: ::1",
        ),
        ("Connection: upgrade\r\nConnection: close\r\nUpgrade: foo bar\r\n", "connection: close"),
    ] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on("foo", echo(&log, "foo")).strip();
        stripped(&log, &layer).exchange(get(headers)).await.starts_with("HTTP/1.1 200 OK\r\n");
        let host_first = format!("host: a.test|{forwarded}");
        assert_eq!(log.take(), [host_first], "{headers}");
    }
}

#[tokio::test(start_paused = true)]
async fn strip_keeps_bodies_and_pipelined_requests() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo", echo(&log, "foo")).strip();
    let bytes = String::from_utf8(offering("Content-Length: 5\r\n", "hello")).unwrap() + &get("");
    let received = stripped(&log, &layer).exchange(bytes).await;
    received.starts_with("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n");
    assert_eq!(log.take(), ["host: a.test|content-length: 5", "host: a.test"]);
}

#[tokio::test(start_paused = true)]
async fn strip_takes_hypers_promise_from_connect_too() {
    let log = Log::default();
    let layer = UpgradeLayer::new().strip();
    stripped(&log, &layer).exchange(request("CONNECT a.test:443 HTTP/1.1", "")).await;
    assert_eq!(log.take(), ["host: a.test"]);
}

#[tokio::test(start_paused = true)]
async fn strip_leaves_an_offer_to_the_handler_and_to_an_inner_service_that_is_asked() {
    let log = Log::default();
    // S-3, S-4: it sees the offer that it is asked about, and no other.
    let layer = UpgradeLayer::new().on("foo", echo(&log, "foo")).on_inner("bar").strip();
    stripped(&log, &layer).exchange(get(FOO)).await.is(&switching("foo"));
    settle().await;
    log.take();
    for offer in ["bar", "x, Bar, h2c"] {
        let lines = "Connection: Upgrade, HTTP2-Settings, a\r\nHTTP2-Settings: AAMA\r\n";
        stripped(&log, &layer).exchange(get(&format!("{lines}Upgrade: {offer}\r\n"))).await;
        let expected = "host: a.test|connection: upgrade|connection: a|upgrade: bar upgradable";
        assert_eq!(log.take(), [expected]);
    }
}

/// S-3, S-6: an inner service that sends requests on may relay a 101 of the other server. Stripped, the
/// other server was not asked for one, and no task holds the connection.
#[tokio::test(start_paused = true)]
async fn a_101_that_an_inner_service_relays_opens_no_tunnel() {
    let relay = service_fn(async |request: Request<hyper::body::Incoming>| {
        assert!(request.extensions().get::<OnUpgrade>().is_none());
        let response = Response::builder().status(101).header("upgrade", "h2c");
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let mut wire = Wire::serve(UpgradeLayer::new().strip().layer(relay));
    let offer = "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n";
    let received = wire.exchange(get(offer) + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    received.ends_with("upgrade: h2c\r\n\r\n").and_ends();
}

/// All policies at once, around a connection's requests: an ordinary one, a refused one, and the one that is
/// taken.
#[tokio::test(start_paused = true)]
async fn all_policies_hold_for_each_request_of_a_connection_in_order() {
    // R9110-3.3-01, R9112-9.3.2-01, P-59, P-61, S-13, S-25, R9110-7.8-13
    let refused = get(&format!("{CU}Upgrade: nope\r\n"));
    let options = request("OPTIONS * HTTP/1.1", "");
    let taken = request("OPTIONS * HTTP/1.1", FOO);
    let bytes = [get(""), refused.clone(), options, refused, taken, "NP".into()].concat();
    let advertised =
        OK.replacen("\r\n", &format!("\r\nupgrade: {LIST}\r\nconnection: upgrade\r\n"), 1);
    let demanded = upgrade_required("upgrade");
    let end = switching("foo") + "[NP]";
    for at in 0..bytes.len() {
        let log = Log::default();
        let layer = fixture(&log).advertise().strip().extended_connect();
        let received = serve(&log, &layer).exchange_split(bytes.as_bytes(), at).await;
        // The bytes behind the taken request may come in two pieces.
        let received = received.text.replace("][", "");
        assert_eq!(received, advertised.repeat(4) + &end, "split at {at}");
        assert_eq!(log.count("inner "), 4);
        assert!(!log.take().iter().any(|event| event.ends_with(" upgradable")));

        let received = serve(&log, &layer.required()).exchange_split(bytes.as_bytes(), at).await;
        let received = received.text.replace("][", "");
        assert_eq!(received, demanded.repeat(4) + &end, "split at {at}");
        assert_eq!(log.count("inner "), 0);
    }
}

/// S-5, S-7, S-10, S-27: Varnish, httpd, Envoy and `HAProxy` took a 426, another error or a 200 for a switch,
/// and the next request went past them. Whatever is answered in place of a 101, the bytes behind the request
/// are the next request.
#[tokio::test(start_paused = true)]
async fn no_answer_but_the_101_is_a_switch() {
    for status in [200, 302, 400, 401, 404, 426, 500, 503] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on("foo", move |_: Request<Bytes>| async move {
            Err::<Switch, _>(StatusCode::from_u16(status).unwrap())
        });
        for layer in [layer.clone(), layer.clone().required(), layer.advertise()] {
            let mut wire = serve(&log, &layer);
            let received = wire.exchange(get(FOO) + &get("")).await;
            received.starts_with(&format!("HTTP/1.1 {status} ")).and_is_open();
            assert_eq!(received.text.matches("HTTP/1.1 ").count(), 2, "{received:?}");
        }
    }
}

/// S-8: Kubernetes kept the connection of an upgrade that its backend had answered with an error, with its
/// own credentials. Here the handler's rejection is the answer to one request, and the next is decided anew.
#[tokio::test(start_paused = true)]
async fn a_rejection_gives_nothing_to_the_next_request() {
    let log = Log::default();
    let runs = log.clone();
    let layer = UpgradeLayer::new().on("foo", move |request: Request<Bytes>| {
        let switch = Switch::to(echo_run(&runs, "foo"));
        let authorized = request.headers().contains_key("authorization");
        std::future::ready(authorized.then_some(switch).ok_or(StatusCode::UNAUTHORIZED))
    });
    let mut wire = serve(&log, &layer);
    for _ in 0..2 {
        wire.exchange(get(FOO)).await.starts_with("HTTP/1.1 401 ").and_is_open();
        let authorized = get("Authorization: Basic YTpi\r\n");
        wire.exchange(authorized).await.is(OK).and_is_open();
    }
    assert_eq!(log.count("foo runs"), 0);
}

/// S-9: Kubernetes followed a redirect that answered an upgrade. Here it is the client's.
#[tokio::test(start_paused = true)]
async fn a_redirect_in_place_of_the_101_is_sent_to_the_client() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo", async |_: Request<Bytes>| {
        let response = Response::builder().status(307).header("location", "http://evil.test/");
        Err::<Switch, _>(response.body(Full::<Bytes>::default()).unwrap())
    });
    let received = serve(&log, &layer).exchange(get(FOO)).await;
    received.starts_with("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://evil.test/\r\n");
    assert_eq!(log.take(), [""; 0]);
}

/// S-26: Traefik sent a request again whose connection had been switched. A retry sees the 101, and a
/// request that it sends again all the same is refused.
#[tokio::test(start_paused = true)]
async fn a_layer_that_retries_sees_the_101_and_cannot_switch_twice() {
    for retries_a_101 in [false, true] {
        let log = Log::default();
        let plain = service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        });
        let upgrade = fixture(&log).layer(plain);
        let retry = service_fn(move |request: Request<hyper::body::Incoming>| {
            let upgrade = upgrade.clone();
            async move {
                let (head, _) = request.into_parts();
                let clone = || Request::from_parts(head.clone(), Full::default());
                let response = upgrade.clone().oneshot(clone()).await?;
                if response.status().is_success() || !retries_a_101 {
                    return Ok::<_, Infallible>(response);
                }
                upgrade.oneshot(clone()).await
            }
        });
        let mut wire = Wire::serve(UpgradeLayer::outermost().layer(retry));
        let received = wire.exchange(get(FOO) + "NP").await;
        if retries_a_101 {
            received.starts_with("HTTP/1.1 503 ");
            assert_eq!((log.count("foo asked"), log.count("foo runs")), (2, 0));
        } else {
            received.is(&(switching("foo") + "[NP]"));
        }
    }
}

/// RFC 9931 §8: the client of a CONNECT may have sent bytes for the tunnel, which are no requests.
#[tokio::test(start_paused = true)]
async fn required_reads_no_tunnel_bytes_of_http_1_0_as_requests() {
    let log = Log::default();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let bytes = request("CONNECT a.test:443 HTTP/1.0", "Connection: keep-alive\r\n") + smuggled;
    let mut wire = Wire::serve(fixture(&log).required().layer(inner(&log)));
    let received = wire.exchange(bytes).await;
    received.starts_with("HTTP/1.0 505 ").and_ends();
    assert!(!received.text.contains("426"), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn required_without_a_registration_reads_no_tunnel_bytes_as_requests() {
    let log = Log::default();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let bytes = request("CONNECT a.test:443 HTTP/1.1", "") + smuggled;
    let mut wire = Wire::serve(UpgradeLayer::new().required().layer(inner(&log)));
    let received = wire.exchange(bytes).await;
    assert_eq!(received.text.matches("HTTP/1.1 501").count(), 1, "{received:?}");
}

/// R9110-10.1.1-08: an unread body is announced.
#[tokio::test(start_paused = true)]
async fn required_without_a_registration_announces_that_a_body_is_unread() {
    let log = Log::default();
    let mut wire = Wire::serve(UpgradeLayer::new().required().layer(inner(&log)));
    let received = wire.exchange(post("Content-Length: 5\r\n", "")).await;
    assert!(received.text.contains("\r\nconnection: close\r\n"), "{received:?}");
}

/// S-3, S-4: a client adds the token that the inner service is asked about, and the rest of its offer goes
/// on to the other server.
#[tokio::test(start_paused = true)]
async fn strip_lets_no_h2c_through_beside_a_protocol_that_the_inner_service_is_asked_about() {
    let log = Log::default();
    let seen = log.clone();
    let proxy = service_fn(move |request: Request<hyper::body::Incoming>| {
        seen.push(format!("{:?}", request.headers()));
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("a page"))) }
    });
    let mut wire = Wire::serve(UpgradeLayer::new().on_inner("websocket").strip().layer(proxy));
    let offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\n\
                 HTTP2-Settings: AAMAAABk\r\n";
    wire.exchange(get(offer)).await;
    let head = log.take().concat();
    assert!(!head.contains("h2c") && !head.contains("http2-settings"), "{head}");
}

/// Never doubled, whatever `Connection` has beside it.
#[tokio::test(start_paused = true)]
async fn advertise_names_its_option_once_beside_a_malformed_one() {
    let odd = service_fn(async |_: Request<hyper::body::Incoming>| {
        let mut response = Response::new(Full::<Bytes>::from("a page"));
        response.headers_mut().insert("connection", "upgrade, a b".parse().unwrap());
        Ok::<_, Infallible>(response)
    });
    let layer = fixture(&Log::default()).advertise();
    let mut wire = Wire::serve(layer.layer(layer.layer(odd)));
    let received = wire.exchange(get("")).await;
    let line =
        received.text.lines().find(|line| line.starts_with("connection")).unwrap().to_owned();
    assert_eq!(line.matches("upgrade").count(), 1, "{line}");
}
