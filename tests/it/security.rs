//! Security incidents of other implementations, tried on this one. The ids are those of the
//! requirements.
//!
//! `offers.rs` has S-22 for whole headers, and S-19 for `Upgrade`.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

use crate::support::*;

/// S-1, CVE-2022-41721: a limit around Go's h2c handler cut a request's body short, and the server
/// switched all the same. It then read the rest of the body as HTTP/2 frames, which an attacker could
/// choose.
#[tokio::test(start_paused = true)]
async fn no_byte_of_a_body_becomes_one_of_the_protocol() {
    let smuggled = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let bytes = post(&format!("{FOO}Content-Length: {}\r\n", smuggled.len()), smuggled) + "NP";
    for at in 0..bytes.len() - 2 {
        let log = Log::default();
        let mut wire = connect_with_limit(&log, smuggled.len());
        let received = wire.exchange_split(bytes.as_bytes(), at).await;
        received.is(&(switching("foo") + "[NP]"));

        // Over the limit there is no 101, and the inner service gets the body. hyper reads on after it,
        // and finds no HTTP.
        let log = Log::default();
        let mut wire = connect_with_limit(&log, smuggled.len() - 1);
        wire.exchange_split(bytes.as_bytes(), at).await.is(OK);
        assert_eq!(log.take(), [format!("inner POST /x {smuggled:?} upgradable")]);
    }
}

/// S-1, P-57: the same with a body that breaks off or has no known length. Its end, where the protocol
/// would begin, is not known.
#[tokio::test(start_paused = true)]
async fn a_body_without_a_known_end_is_never_switched() {
    let log = Log::default();
    let mut wire = connect_with_limit(&log, 100);
    wire.exchange(post(&format!("{FOO}Content-Length: 100\r\n"), "hello")).await.is("");
    wire.io.shutdown().await.unwrap();
    let rejected = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    wire.receive().await.is(rejected).and_ends();
    let events = log.take();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("failed foo Body"), "{events:?}");

    let log = Log::default();
    let mut wire = connect_with_limit(&log, 100);
    let headers = format!("{FOO}Transfer-Encoding: chunked\r\n");
    wire.exchange(post(&headers, "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")).await.is(OK);
    assert_eq!(log.take(), ["inner POST /x \"helloworld\" upgradable"]);
}

/// S-4: haproxy checked each `Upgrade` header alone. `foo, h2c` in one header passed its filter if
/// another header came after it.
#[tokio::test(start_paused = true)]
async fn a_later_value_hides_nothing_of_an_earlier_one() {
    for (protocol, headers, expected) in [
        ("h2c", "Upgrade: foo, h2c\r\nUpgrade: bar\r\n", switching("h2c")),
        ("bar", "Upgrade: foo, h2c\r\nUpgrade: bar\r\n", switching("bar")),
        ("h2c", "Upgrade: h2c\r\nUpgrade: foo/\r\n", OK.into()),
        ("h2c", "Upgrade: foo/\r\nUpgrade: h2c\r\n", OK.into()),
        ("h2c", "Upgrade: h2c\r\nConnection: b@d\r\n", OK.into()),
    ] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on(protocol, echo(&log, "only"));
        let mut wire = Wire::serve(layer.layer(inner(&log)));
        wire.exchange(get(&format!("{CU}{headers}"))).await.is(&expected);
    }
}

/// S-6, websocket-smuggle: nginx tunnelled whenever its backend said 101, and an attacker could
/// have the backend relay a 101 of the attacker's own. A 101 that the layer did not make belongs to
/// the inner service, which also gets the connection.
#[tokio::test(start_paused = true)]
async fn a_101_of_the_inner_service_is_never_joined_to_a_handler() {
    for (headers, body) in [
        (format!("{FOO}Content-Length: 5\r\n"), "hello"),
        (format!("{CU}Upgrade: other, nope\r\n"), ""),
        ("Upgrade: foo\r\n".to_owned(), ""),
    ] {
        let log = Log::default();
        let mut wire = Wire::serve(fixture(&log).layer(service_fn(switching_inner)));
        let received = wire.exchange(post(&headers, body) + "NP").await;
        received.is(&(switching("foo") + "inner got NP")).and_ends();
        assert_eq!(log.take(), [""; 0], "{headers}");
    }
}

/// S-6: the same, if no task waits for the connection.
#[tokio::test(start_paused = true)]
async fn a_101_of_an_inner_service_that_does_not_switch_runs_no_handler() {
    for (headers, body) in [(format!("{FOO}Content-Length: 5\r\n"), "hello"), (String::new(), "")] {
        let log = Log::default();
        let inner = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(inner_101()));
        let mut wire = Wire::serve(fixture(&log).layer(inner));
        wire.exchange(post(&headers, body) + "NP").await.is(&switching("foo")).and_ends();
        assert_eq!(log.take(), [""; 0], "{headers}");
    }
}

/// Reads the body, and switches by itself.
async fn switching_inner(
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    http_body_util::BodyExt::collect(request.body_mut()).await?;
    let on_upgrade = hyper::upgrade::on(request);
    tokio::spawn(async {
        let mut io = TokioIo::new(on_upgrade.await.unwrap());
        let mut bytes = [0; 2];
        io.read_exact(&mut bytes).await.unwrap();
        io.write_all(&[b"inner got ", &bytes[..]].concat()).await.unwrap();
    });
    Ok(inner_101())
}

fn inner_101() -> Response<Full<Bytes>> {
    let response = Response::builder().status(101);
    let response = response.header(CONNECTION, "upgrade").header(UPGRADE, "foo");
    response.body(Full::default()).unwrap()
}

/// S-11, CVE-2025-64763: Envoy sent bytes into the tunnel that came before the answer.
/// They are HTTP until the 101 is written, and a declined offer makes them the next request.
#[tokio::test(start_paused = true)]
async fn bytes_sent_before_the_answer_are_http_unless_it_is_a_101() {
    // P-59, R9931-3-02
    let next = request("GET /next HTTP/1.1", "");
    let forbidden = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    for (path, offer, expected, forwarded) in [
        ("/x", "foo", switching("foo") + "[" + &next + "]", 0),
        ("/rejected", "foo", forbidden.to_owned() + OK, 1),
        ("/x", "nope", OK.repeat(2), 2),
    ] {
        let head = request(&format!("GET {path} HTTP/1.1"), &format!("{CU}Upgrade: {offer}\r\n"));
        for at in [0, 1, next.len() / 2, next.len()] {
            let log = Log::default();
            let decide = Arc::new(Notify::new());
            let mut wire = Wire::serve(deciding(&log, &decide).layer(inner(&log)));
            let (early, late) = next.split_at(at);
            wire.send(head.clone() + early).await;
            settle().await;
            wire.send(late).await;
            settle().await;
            assert_eq!(log.count("foo"), 0, "{path} {offer} split at {at}");
            decide.notify_one();
            let received = wire.receive().await;
            // The handler echoes in as many pieces as it reads.
            let text = received.and_is_open().text.replace("][", "");
            assert_eq!(text, expected, "{path} {offer} split at {at}");
            assert_eq!(log.count("inner"), forwarded, "{path} {offer} split at {at}");
        }
    }
}

/// A handler for `foo` that waits for `decide`, and then decides by the path.
fn deciding(log: &Log, decide: &Arc<Notify>) -> UpgradeLayer {
    let (log, decide) = (log.clone(), decide.clone());
    UpgradeLayer::new().on("foo", move |request: Request<Bytes>| {
        let (log, decide) = (log.clone(), decide.clone());
        async move {
            decide.notified().await;
            match request.uri().path() {
                "/x" => Ok(Switch::to(echo_run(&log, "foo"))),
                _ => Err::<Switch, _>(StatusCode::FORBIDDEN),
            }
        }
    })
}

/// S-13, CVE-2019-0197: httpd crashed when the request that it upgraded was not the first of its
/// connection. Every request is decided by itself.
#[tokio::test(start_paused = true)]
async fn any_request_of_a_connection_may_be_upgraded() {
    // P-61, R9110-3.3-01, R9112-9.3.2-01
    let declined = get(&format!("{CU}Upgrade: nope\r\n"));
    let forwarded = post(&format!("{FOO}Content-Length: 5\r\n"), "hello");
    let accepted = get(FOO) + "NP";
    let expected = OK.repeat(3) + &switching("foo") + "[NP]";
    let bytes = [declined, forwarded, get(""), accepted].concat();
    for at in 0..bytes.len() - 2 {
        let log = Log::default();
        connect(&log).exchange_split(bytes.as_bytes(), at).await.is(&expected).and_is_open();
        assert_eq!((log.count("inner"), log.count("foo asked")), (3, 1), "split at {at}");
    }
}

/// S-14, CVE-2024-36387: httpd followed a null pointer when a WebSocket came over HTTP/2. Only
/// HTTP/1.1 is upgraded.
#[tokio::test(start_paused = true)]
async fn other_versions_of_http_are_forwarded() {
    // P-30, R9110-7.8-15, R9113-8.2.2-02, R9114-4.2-01
    let versions =
        [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3, Version::HTTP_11];
    for version in versions {
        let log = Log::default();
        let service = fixture(&log).layer(service_fn(async |request: Request<Full<Bytes>>| {
            let fields = [&request.headers()[CONNECTION], &request.headers()[UPGRADE]];
            assert_eq!(fields, ["upgrade", "foo"]);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        }));
        // Without hyper's extension not even HTTP/1.1 can be upgraded.
        let request = Request::builder().version(version).uri("/x");
        let request = request.header(CONNECTION, "upgrade").header(UPGRADE, "foo");
        let response = service.oneshot(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(log.take(), [""; 0]);
    }
    for version in versions {
        // With the extension, the version decides.
        let log = Log::default();
        let service = fixture(&log).layer(inner(&log));
        let mut wire = Wire::serve(service.map_request(move |mut request: Request<Incoming>| {
            *request.version_mut() = version;
            request
        }));
        let expected = if version == Version::HTTP_11 { switching("foo") } else { OK.to_owned() };
        wire.exchange(get(FOO)).await.is(&expected);
    }
}

/// S-18, CVE-2024-37890: a limit on the number of headers took `Upgrade` away between two stages
/// of `ws`, and the second one dereferenced the missing header. hyper's `OnUpgrade` does not prove that
/// the headers are still there either.
#[tokio::test(start_paused = true)]
async fn a_request_whose_headers_an_outer_layer_removed_is_forwarded() {
    for taken in [vec![UPGRADE], vec![CONNECTION], vec![CONNECTION, UPGRADE]] {
        let log = Log::default();
        let service = fixture(&log).layer(inner(&log));
        let mut wire = Wire::serve(service.map_request(move |mut request: Request<Incoming>| {
            for name in &taken {
                request.headers_mut().remove(name);
            }
            request
        }));
        wire.exchange(get(FOO)).await.is(OK).and_is_open();
        assert_eq!(log.take(), ["inner GET /x \"\" upgradable"]);
    }
}

/// S-19, CVE-2021-31525: Go looked for a token in a header by recursion, and a huge header made
/// that panic. The parser is a loop, and it stops at a limit.
#[tokio::test(start_paused = true)]
async fn a_huge_connection_header_is_declined() {
    // Case 15 of those that no peer tests.
    for filling in ["x,".repeat(32 * 1024), ",".repeat(64 * 1024), "x".repeat(64 * 1024) + ","] {
        for connection in [format!("{filling}upgrade"), format!("upgrade,{filling}")] {
            let headers = format!("Upgrade: foo\r\nConnection: {connection}\r\n");
            let (received, log) = exchange(get(&headers)).await;
            received.is(OK).and_is_open();
            assert_eq!(log.take(), ["inner GET /x \"\" upgradable"]);
        }
    }
}

/// S-20, CVE-2026-1527: undici and Netty wrote tokens and headers with line breaks in them, so that
/// their source could add headers. Only checked tokens go into the 101.
#[tokio::test(start_paused = true)]
async fn a_101_cannot_be_split() {
    assert!(HeaderValue::try_from("a\r\nSet-Cookie: b").is_err());
    assert!(HeaderName::try_from("a\r\nSet-Cookie").is_err());
    for (protocols, expected) in [
        ("FOO/1", Some("foo/1")),
        ("\tfoo/1 ,nope ", Some("foo/1, nope")),
        ("foo/1,nope\r\n", None),
        ("foo/1\r\nSet-Cookie: b", None),
        ("foo/1\r\n, nope\r\nSet-Cookie: b", None),
        ("foo/1\0", None),
        ("foo/1, n\u{f8}pe", None),
        ("", None),
    ] {
        let log = Log::default();
        let failures = log.clone();
        let layer = UpgradeLayer::new()
            .on("foo/*", move |_: Request<Bytes>| async move {
                Switch::to(async |_: Upgraded| ()).protocols(protocols)
            })
            .on_failure(move |error| failures.push(describe(&error)));
        let mut wire = Wire::serve(layer.layer(inner(&log)));
        let received = wire.exchange(get(&format!("{CU}Upgrade: nope, fOo/1\r\n"))).await;
        if let Some(upgrade) = expected {
            received.is(&switching(upgrade));
        } else {
            received.is("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(log.count("failed foo/1 Switch"), 1, "{log:?}");
        }
    }
}

/// S-20: a handler cannot add a header that would change where the 101 ends.
#[tokio::test(start_paused = true)]
async fn a_101_has_no_header_about_the_connection_or_a_body_but_its_own_two() {
    // R9110-8.6-01, R9112-6.1-01, R9110-7.6.1-05
    let layer = UpgradeLayer::new().on("foo", async |_: Request<Bytes>| {
        let mut switch = Switch::to(async |_: Upgraded| ());
        let names = "connection upgrade content-length content-type http2-settings keep-alive \
                     proxy-connection te trailer transfer-encoding x-more";
        for name in names.split(' ') {
            for value in ["1", "chunked"] {
                let value = HeaderValue::from_static(value);
                switch = switch.header(HeaderName::from_static(name), value);
            }
        }
        switch
    });
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    let (first, second) =
        ("HTTP/1.1 101 Switching Protocols\r\n", "x-more: 1\r\nx-more: chunked\r\n");
    let received = wire.exchange(get(FOO)).await;
    received.is(&switching("foo").replace(first, &(first.to_owned() + second))).and_ends();
}

/// S-22: aiohttp folded the Kelvin sign into `k`, and took `notupgrade` for `upgrade`. Names are
/// compared whole, and as bytes.
#[tokio::test(start_paused = true)]
async fn a_part_of_a_protocols_name_is_not_the_name() {
    for member in ["websocket2", "xwebsocket", "web", "h2cc", "h2", "websocket-h2c", "foofoo"] {
        let (received, log) = exchange(get(&format!("{CU}Upgrade: {member}\r\n"))).await;
        received.is(OK).and_is_open();
        assert_eq!(log.count("inner"), 1);
    }
}

/// S-25: in Netty the state of a failed upgrade made the next plain request of the connection look
/// like an upgrade. This crate keeps no state between requests.
#[tokio::test(start_paused = true)]
async fn a_failed_upgrade_leaves_nothing_for_the_next_request() {
    let log = Log::default();
    let failures = log.clone();
    let layer = UpgradeLayer::new()
        .on("foo", echo(&log, "foo"))
        .on("rejected", async |_: Request<Bytes>| Err::<Switch, _>(StatusCode::FORBIDDEN))
        .on("panics", async |_: Request<Bytes>| -> Switch { panic!("on purpose") })
        .on("invalid", async |_: Request<Bytes>| {
            Switch::to(async |_: Upgraded| ()).protocols("other")
        })
        .on_failure(move |error| failures.push(describe(&error)));
    let service = layer.layer(inner(&log));
    for (failing, status) in [("rejected", 403), ("panics", 500), ("invalid", 500)] {
        let mut wire = Wire::serve(service.clone());
        let received = wire.exchange(get(&format!("{CU}Upgrade: {failing}\r\n"))).await;
        received.starts_with(&format!("HTTP/1.1 {status} ")).and_is_open();
        log.take();
        wire.exchange(post("Content-Length: 5\r\n", "hello")).await.is(OK).and_is_open();
        assert_eq!(log.take(), ["inner POST /x \"hello\""]);
        wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]")).and_is_open();
        assert_eq!(log.take(), ["foo asked \"\"", "foo runs foo", "foo reads \"NP\""]);
    }
}
