//! Why a WebSocket was rejected, as an operator sees it.

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use tower::Layer;
use tower_upgrade::{
    Rejection, Switch, UpgradeLayer, Upgraded,
    websocket::{Handshake, Offer, Origins, WebSocket},
};

use super::opening;
use crate::{
    observed::{observe, observe_one},
    support::Wire,
};

const SPAN: &str = "upgrade{protocol=websocket method=GET path=\"/x\"}";

fn agreeing() -> WebSocket {
    WebSocket::new(|_: Upgraded, _: Handshake| async {})
        .agree_extensions(|_| Some(HeaderValue::from_static("x")))
}

/// The metrics behind one rejection.
fn rejected_with(label: &str) -> [String; 1] {
    [format!("http_upgrades_total{{protocol=websocket,outcome=rejected{label}}} 1")]
}

#[test]
fn each_check_has_a_word_of_its_own() {
    let origin = r#" origin="http://evil.test" host="a.test:80""#;
    for (without, more, status, reason, fields) in [
        ("Host", "X: y", 400, "host", ""),
        ("Host", "Host: a b", 400, "host", ""),
        ("Sec-WebSocket-Version", "X: y", 400, "version", ""),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: x", 400, "version", ""),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8", 426, "version", ""),
        ("Sec-WebSocket-Key", "X: y", 400, "key", ""),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: abc", 400, "key", ""),
        ("Host", "Host: a.test:80\r\nOrigin: http://evil.test", 403, "origin", origin),
        ("", "Sec-WebSocket-Extensions: ;;", 400, "extensions", ""),
    ] {
        // The same words whether the handler is `WebSocket` or makes an `Offer`.
        let own = |request: Request<Bytes>| async move {
            let offer = Offer::from_head(&request.into_parts().0, &Origins::same_host())?;
            let offer = offer.agree_extensions(|_| None)?;
            Ok::<Switch, Rejection>(offer.switch(|_, _| async {}))
        };
        let layers = [
            UpgradeLayer::new().on("websocket", agreeing()),
            UpgradeLayer::new().on("websocket", own),
        ];
        for layer in layers {
            let (events, metrics) = observe_one(&layer, &opening(&[without], &[more]));
            let event = format!("rejected status={status} reason={reason:?}{fields}");
            assert_eq!(events, [format!("INFO {SPAN}: {event}")]);
            assert_eq!(metrics, rejected_with(&format!(",reason={reason}")));
            assert_eq!(layer.connections().stats().rejected, 1);
        }
    }
    let layer = UpgradeLayer::new().on("websocket", agreeing());
    let (events, metrics) = observe_one(&layer, &opening(&[], &[]).replace("GET", "PUT"));
    let span = SPAN.replace("GET", "PUT");
    assert_eq!(events, [format!("INFO {span}: rejected status=405 reason=\"method\"")]);
    assert_eq!(metrics, rejected_with(",reason=method"));
}

#[test]
fn an_origin_is_seen_with_the_host_that_it_was_compared_with() {
    let log_of = |origin: &str, target: &str| {
        let layer = UpgradeLayer::new().on("websocket", agreeing());
        let request = opening(&[], &[&format!("Origin: {origin}")]);
        let (events, _) = observe_one(&layer, &request.replace("GET /x", target));
        events.concat().split_once("reason=\"origin\" ").unwrap().1.to_owned()
    };
    let (plain, absolute) = ("GET /x", "GET http://b.test/x");
    for (origin, target, fields) in [
        ("", plain, r#"origin="" host="a.test""#),
        ("null", plain, r#"origin="null" host="a.test""#),
        ("http://a.test", absolute, r#"origin="http://a.test" host="b.test""#),
        // Nothing in it can end the line or pass for another field.
        ("x\" y=\"z\t\u{e9}", plain, r#"origin="x\" y=\"z\té" host="a.test""#),
    ] {
        assert_eq!(log_of(origin, target), fields);
    }
    let origin = format!("http://{}.test", "x".repeat(10_000));
    let start = &origin[..256];
    assert_eq!(log_of(&origin, plain), format!("origin={start:?} host=\"a.test\""));
}

#[cfg(feature = "axum")]
#[test]
fn a_rejection_of_the_inner_service_is_seen_with_its_reason() {
    let handler = |request: axum::extract::Request| async move {
        let offer = Offer::from_head(&request.into_parts().0, &Origins::same_host())?;
        Ok::<Switch, Rejection>(offer.switch(|_, _| async {}))
    };
    let app = axum::Router::new().route("/x", axum::routing::any(handler));
    let layer = UpgradeLayer::new().on_inner("websocket");
    let (events, metrics) = observe(async {
        let mut wire = Wire::serve(layer.layer(app));
        wire.exchange(opening(&[], &["Origin: http://evil.test"]))
            .await
            .starts_with("HTTP/1.1 403");
        let version = opening(&["Sec-WebSocket-Version"], &["Sec-WebSocket-Version: 8"]);
        let headers = "upgrade: websocket\r\nconnection: upgrade\r\n";
        let answer = wire.exchange(version).await;
        assert!(answer.text.contains(headers), "{answer:?}");
    });
    let request = "protocol=websocket method=GET path=\"/x\"";
    let origin = r#"reason="origin" origin="http://evil.test" host="a.test""#;
    assert_eq!(
        events,
        [
            format!("INFO rejected status=403 {origin} {request}"),
            format!("INFO rejected status=426 reason=\"version\" {request}"),
        ]
    );
    let total = "http_upgrades_total{protocol=websocket,outcome=rejected,reason";
    assert_eq!(metrics, [format!("{total}=origin}} 1"), format!("{total}=version}} 1")]);
    assert_eq!(layer.connections().stats().rejected, 2);
}

#[test]
fn an_applications_own_check_has_the_word_that_it_gives() {
    for (rejection, fields, label) in [
        (None, "status=401", ""),
        (Some("no-login"), "status=401 reason=\"no-login\"", ",reason=no-login"),
    ] {
        let handler = agreeing().on_connect(move |_| async move {
            let unauthorized = Rejection::from(StatusCode::UNAUTHORIZED);
            Err(match rejection {
                None => unauthorized,
                Some(word) => unauthorized.with_reason(word),
            })
        });
        let layer = UpgradeLayer::new().on("websocket", handler);
        let (events, metrics) = observe_one(&layer, &opening(&[], &[]));
        assert_eq!(events, [format!("INFO {SPAN}: rejected {fields}")]);
        assert_eq!(metrics, rejected_with(label));
    }
}
