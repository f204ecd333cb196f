//! `on_inner`: the inner service decides whether to switch.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    extract::{Path, ws::WebSocketUpgrade},
    routing::any,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, timeout::TimeoutLayer,
};
use tower_upgrade::{Protocol, Switch, UpgradeLayer};

use crate::support::*;

type Answer = Response<Full<Bytes>>;

fn layer(log: &Log) -> UpgradeLayer {
    let failures = log.clone();
    UpgradeLayer::new().on_inner("foo/*").on_failure(move |error| failures.push(describe(&error)))
}

/// Switches at `/yes`, and after a while at `/slow`. Other paths are plain pages.
async fn answer(log: Log, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    log.push(format!("inner {path}"));
    if path == "/slow" {
        sleep(Duration::from_secs(60)).await;
    }
    Ok(match request.extensions().get::<Protocol<'static>>() {
        Some(protocol) if path != "/no" => {
            log.push(format!("offered {protocol}"));
            Switch::to(echo_run(&log, "foo"))
                .header(header::SERVER, HeaderValue::from_static("inner"))
                .into_response()
        }
        _ => Response::new(Full::from("ok")),
    })
}

fn deciding(
    log: &Log,
) -> impl Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    let log = log.clone();
    service_fn(move |request| answer(log.clone(), request))
}

fn at(path: &str, headers: &str) -> String {
    request(&format!("GET {path} HTTP/1.1"), headers)
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nserver: inner\r\n\
                        connection: upgrade\r\nupgrade: foo\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn the_inner_service_switches_wherever_the_request_is_split() {
    let bytes = at("/yes", FOO) + "NP";
    for split in 0..bytes.len() - 2 {
        let log = Log::default();
        let layer = layer(&log);
        let mut wire = Wire::serve(layer.layer(deciding(&log)));
        let received = wire.exchange_split(bytes.as_bytes(), split).await;
        received.is(&(SWITCHED.to_owned() + "[NP]")).and_is_open();
        assert_eq!(log.take()[..3], ["inner /yes", "offered foo", "foo runs foo"]);
        let stats = layer.connections().stats();
        assert_eq!((stats.active, stats.switched, stats.declined.unaccepted), (1, 1, 0));
        drop(wire);
        settle().await;
        assert_eq!(layer.connections().active(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_other_response_is_sent_as_it_is() {
    let log = Log::default();
    let layer = layer(&log);
    let mut wire = Wire::serve(layer.layer(deciding(&log)));
    wire.exchange(at("/no", FOO)).await.is(OK).and_is_open();
    wire.exchange(at("/yes", "")).await.is(OK).and_is_open();
    // A version that the client chose is the protocol that is agreed on.
    let headers = format!("{CU}Upgrade: foo/7\r\n");
    let received = wire.exchange(at("/yes", &headers) + "NP").await;
    received.is(&(SWITCHED.replace("foo", "foo/7") + "[NP]"));
    let stats = layer.connections().stats();
    assert_eq!((stats.rejected, stats.switched, stats.declined.unaccepted), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_body_is_forwarded_without_the_offer() {
    let log = Log::default();
    let mut wire = Wire::serve(layer(&log).layer(deciding(&log)));
    let headers = format!("{FOO}Content-Length: 5\r\n");
    wire.exchange(at("/yes", &headers) + "hello").await.starts_with(OK);
    assert_eq!(log.take(), ["inner /yes"]);
}

#[tokio::test(start_paused = true)]
async fn the_handshake_timeout_begins_with_the_switch() {
    let log = Log::default();
    let layer = layer(&log).handshake_timeout(Duration::from_secs(5));
    let mut wire = Wire::serve(layer.layer(deciding(&log)));
    wire.send(at("/slow", FOO)).await;
    sleep(Duration::from_secs(61)).await;
    wire.exchange("NP").await.is(&(SWITCHED.to_owned() + "[NP]"));
    assert_eq!(log.count("failed"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_taken_with_the_switch() {
    let log = Log::default();
    let layer = layer(&log).max_connections(1);
    let service = layer.layer(deciding(&log));
    let mut first = Wire::serve(service.clone());
    first.exchange(at("/yes", FOO)).await.is(SWITCHED);
    // Plain pages are answered, and switches get a 503.
    let mut second = Wire::serve(service);
    second.exchange(at("/no", FOO)).await.is(OK).and_is_open();
    second.exchange(at("/yes", FOO)).await.starts_with("HTTP/1.1 503").and_is_open();
    assert_eq!((log.count("foo runs"), layer.connections().stats().at_capacity), (1, 1));
    drop(first);
    settle().await;
    second.exchange(at("/yes", FOO)).await.is(SWITCHED);

    layer.connections().drain();
    let mut third = Wire::serve(layer.layer(deciding(&log)));
    third.exchange(at("/no", FOO)).await.is(OK).and_is_open();
    third.exchange(at("/yes", FOO)).await.starts_with("HTTP/1.1 503").and_ends();
    assert_eq!(layer.connections().stats().drained, 1);
}

/// Serves a layer with middleware between it and the inner service.
fn between(log: &Log, change: fn(Answer) -> Answer) -> Wire {
    Wire::serve(layer(log).layer(deciding(log).map_response(change)))
}

#[tokio::test(start_paused = true)]
async fn headers_of_middleware_in_between_are_in_the_101_if_it_can_have_them() {
    let log = Log::default();
    let mut wire = between(&log, |mut response| {
        for (name, value) in [
            ("x-request-id", "7"),
            ("content-length", "5"),
            ("content-type", "text/html"),
            ("connection", "close"),
            ("upgrade", "bar"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    });
    let received = wire.exchange(at("/yes", FOO) + "NP").await;
    let added = "server: inner\r\nx-request-id: 7\r\n";
    received.is(&(SWITCHED.replace("server: inner\r\n", added) + "[NP]"));
}

#[tokio::test(start_paused = true)]
async fn middleware_may_replace_the_response_and_then_nothing_is_switched() {
    type Change = fn(Answer) -> Answer;

    let changes: [(Change, &str); 3] = [
        (
            |mut response| {
                *response.status_mut() = StatusCode::FORBIDDEN;
                response
            },
            "HTTP/1.1 403",
        ),
        (|_| Response::new(Full::from("ok")), "HTTP/1.1 200"),
        // A response without the extensions of the old one has lost the switch.
        (
            |response| {
                let (head, body) = response.into_parts();
                Response::builder().status(head.status).body(body).unwrap()
            },
            "HTTP/1.1 500",
        ),
    ];
    for (change, status) in changes {
        let log = Log::default();
        let received = between(&log, change).exchange(at("/yes", FOO) + &at("/no", "")).await;
        // The bytes after the request are the next request.
        received.starts_with(status).ends_with("\r\n\r\nok").and_is_open();
        assert_eq!((log.count("foo runs"), log.count("failed")), (0, 0), "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn published_middleware_in_between_passes_the_switch_on() {
    let log = Log::default();
    let service = ServiceBuilder::new()
        .layer(layer(&log))
        .map_response(|response: Response<_>| response.map(BodyExt::boxed_unsync))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(9)))
        .layer(CatchPanicLayer::new())
        .service(deciding(&log));
    let headers = format!("{FOO}Accept-Encoding: gzip\r\n");
    let received = Wire::serve(service).exchange(at("/yes", &headers) + "NP").await;
    received.starts_with("HTTP/1.1 101").ends_with("\r\n\r\n[NP]");
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_no_layer_takes_is_a_500_and_never_a_bare_101() {
    let service = service_fn(|_: Request<Incoming>| async {
        let switch = Switch::to(|_io: tower_upgrade::Upgraded| async {});
        Ok::<_, Infallible>(switch.into_response::<Full<Bytes>>())
    });
    let log = Log::default();
    let not_for_inner = UpgradeLayer::new().on("bar", echo(&log, "bar")).layer(service);
    for mut wire in [Wire::serve(service), Wire::serve(not_for_inner)] {
        let received = wire.exchange(at("/yes", FOO)).await;
        received.starts_with("HTTP/1.1 500").and_is_open();
        assert!(received.text.contains("`UpgradeLayer::on_inner`"), "{received:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_was_already_taken_is_a_500_and_is_reported() {
    // The outer of two layers sees a clone of the response that the inner one took.
    #[derive(Clone)]
    struct Kept(http::Extensions);

    let log = Log::default();
    let inner = deciding(&log).map_response(|mut response| {
        let kept = Kept(response.extensions().clone());
        response.extensions_mut().insert(kept);
        response
    });
    let service = ServiceBuilder::new()
        .layer(layer(&log))
        .map_response(|mut response: Response<_>| {
            let Kept(kept) = response.extensions_mut().remove().unwrap();
            *response.extensions_mut() = kept;
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
        .layer(UpgradeLayer::new().on_inner("foo"))
        .service(inner);
    let received = Wire::serve(service).exchange(at("/yes", FOO)).await;
    received.starts_with("HTTP/1.1 500").and_is_open();
    assert_eq!((log.count("foo runs"), log.count("failed foo Switch")), (0, 1), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_switch_to_websocket_without_a_checked_handshake_is_a_500() {
    // A route for another protocol under the same layer, or one that forgot the checks.
    let headers = "Connection: upgrade\r\nUpgrade: WebSocket\r\nOrigin: http://evil.test\r\n";
    let log = Log::default();
    let layer = layer(&log).on_inner("websocket").max_connections(1);
    let mut wire = Wire::serve(layer.layer(deciding(&log)));
    for _ in 0..2 {
        let received = wire.exchange(at("/yes", headers)).await;
        received.starts_with("HTTP/1.1 500 ").and_is_open();
        let failure = "failed websocket Switch: the switch could not be carried out: the inner service switched to WebSocket without a \
                       `websocket::Offer`, which checks the handshake and the origin";
        assert_eq!(log.take(), ["inner /yes", "offered websocket", failure]);
    }
    assert_eq!(layer.connections().active(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_spelling_of_websocket_goes_without_a_checked_handshake() {
    for (registered, offered, agreed) in [
        ("WEBSOCKET", "webSocket", "WEBSOCKET"),
        ("websocket/*", "websocket", "websocket"),
        ("WebSocket/*", "WEBSOCKET/13", "WebSocket/13"),
        ("websocket", "bar, foo/7, websocket", "websocket"),
    ] {
        let log = Log::default();
        let failures = log.clone();
        let layer = UpgradeLayer::new()
            .on_inner(registered)
            .on_failure(move |error| failures.push(describe(&error)));
        let service = ServiceBuilder::new()
            .layer(UpgradeLayer::new().on_inner(registered))
            .layer(layer)
            .service(deciding(&log));
        let headers = format!("{CU}Upgrade: {offered}\r\n");
        let received = Wire::serve(service).exchange(at("/yes", &headers)).await;
        received.starts_with("HTTP/1.1 500 ").and_is_open();
        assert_eq!(log.count(&format!("failed {agreed} Switch: ")), 1, "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_layers_the_inner_one_takes_the_switch() {
    let log = Log::default();
    let (outer, inner) = (layer(&log), layer(&log));
    let mut wire = Wire::serve(outer.layer(inner.layer(deciding(&log))));
    wire.exchange(at("/yes", FOO) + "NP").await.is(&(SWITCHED.to_owned() + "[NP]"));
    assert_eq!((outer.connections().active(), inner.connections().active()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn below_an_outermost_layer_a_switch_is_as_certain_as_a_handlers() {
    let log = Log::default();
    let certain = |change: fn(Response<_>) -> Response<_>| {
        let service = ServiceBuilder::new()
            .layer(UpgradeLayer::outermost())
            .map_response(change)
            .layer(layer(&log))
            .service(deciding(&log));
        Wire::serve(service)
    };
    let received = certain(|response| response).exchange(at("/yes", FOO) + "NP").await;
    received.is(&(SWITCHED.to_owned() + "[NP]"));
    log.take();
    let close = format!("{FOO}Connection: close\r\n");
    let received = certain(|mut response| {
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    });
    let received = { received }.exchange(at("/yes", &close) + "NP").await;
    received.starts_with("HTTP/1.1 204").and_ends();
    assert_eq!((log.count("foo runs"), log.count("failed foo Replaced")), (0, 1), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn axums_own_extractor_still_works_in_the_inner_service() {
    let app = Router::new().route(
        "/{room}",
        any(|Path(room): Path<String>, ws: WebSocketUpgrade| async move {
            ws.on_upgrade(|mut socket| async move {
                socket.send(axum::extract::ws::Message::text(room)).await.unwrap();
            })
        }),
    );
    let layer = UpgradeLayer::new().on_inner("websocket");
    let mut wire = Wire::serve(app.layer(layer.clone()));
    let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let received = wire.exchange(at("/lobby", headers)).await;
    received.starts_with("HTTP/1.1 101").ends_with("\u{5}lobby");
    assert_eq!(layer.connections().stats().switched, 0);
}

#[cfg(all(feature = "axum", feature = "websocket"))]
#[tokio::test(start_paused = true)]
async fn axums_own_extractor_and_ours_share_a_router() {
    use tower_upgrade::websocket::Offer;

    let log = Log::default();
    let seen = log.clone();
    let theirs = any(|ws: WebSocketUpgrade| async move {
        ws.on_upgrade(|mut socket| async move {
            socket.send(axum::extract::ws::Message::text("theirs")).await.unwrap();
        })
    });
    let ours = any(|ws: Offer| async move { ws.switch(move |io, _| echo_run(&seen, "ours")(io)) });
    let layer = UpgradeLayer::new().on_inner("websocket").for_axum();
    let connections = layer.connections();
    let app = Router::new().route("/theirs", theirs).route("/ours", ours).layer(layer);
    let app = app.layer(UpgradeLayer::outermost());
    let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let received = Wire::serve(app.clone()).exchange(at("/theirs", lines)).await;
    received.starts_with("HTTP/1.1 101").ends_with("\u{6}theirs");
    let mut wire = Wire::serve(app);
    let received = wire.exchange(at("/ours", lines) + "NP").await;
    received.starts_with("HTTP/1.1 101").ends_with("\r\n\r\n[NP]");
    assert_eq!(connections.stats().switched, 1);
}

#[tokio::test(start_paused = true)]
async fn handlers_and_the_inner_service_are_asked_in_the_order_of_registration() {
    use tower_upgrade::UpgradeHandler;

    let log = Log::default();
    let handler = echo(&log, "handler").when(|head| head.uri.path() == "/handler");
    let layer = UpgradeLayer::new().on("foo", handler).on_inner("foo");
    let service = layer.layer(deciding(&log));
    let mut wire = Wire::serve(service.clone());
    wire.exchange(at("/handler", FOO)).await.is(&switching("foo"));
    Wire::serve(service).exchange(at("/yes", FOO)).await.is(SWITCHED);
    assert_eq!((log.count("handler runs"), log.count("foo runs")), (1, 1));
}
