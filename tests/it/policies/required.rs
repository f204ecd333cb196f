//! `required`: a request that no handler accepts is told to upgrade.

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt};
use tower_upgrade::{AtCapacity, Rejection, Switch, UpgradeHandler, UpgradeLayer, Upgraded};

use super::{LIST, serve, upgrade_required};
use crate::{extended_connect::support, support::*};

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
        (Version::HTTP_2, "CONNECT", false, 501, unknown),
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
async fn an_extended_connect_that_a_layer_has_rebuilt_is_still_one() {
    // R9220-3-01. A new request has the version 1.1 if nobody sets it.
    let handler = async |_: Request<Bytes>| Switch::to(async |_: Upgraded| ());
    let layer = UpgradeLayer::new().on("foo", handler).required().extended_connect();
    let (mut head, ()) = support::connect("nope", "/x", &[]).into_parts();
    head.version = Version::HTTP_11;
    let request = Request::from_parts(head, Empty::<Bytes>::new());
    let response = layer.into_service().oneshot(request).await.unwrap();
    assert_eq!(
        (response.status(), response.headers().get("upgrade")),
        (StatusCode::NOT_IMPLEMENTED, None)
    );
    let text = "a `:protocol` is required that is one of these: foo\n";
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text);
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
