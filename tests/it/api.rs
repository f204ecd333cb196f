//! The API for its callers: `Debug`, the texts of errors, and panics of `on`.

use std::{error::Error, future, io, panic};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::AsyncWriteExt;
use tower::{Layer, util::MapResponse};
use tower_upgrade::{Protocol, Rejection, Switch, UpgradeHandler, UpgradeLayer, Upgraded};

use crate::support::*;

type Handler = fn(Request<Bytes>) -> future::Ready<Switch>;

fn switch(_request: Request<Bytes>) -> future::Ready<Switch> {
    future::ready(Switch::to(|_io: Upgraded| async {}))
}

#[test]
fn a_rejection_has_the_reason_that_it_was_given() {
    let rejection = Rejection::from(StatusCode::FORBIDDEN);
    assert_eq!(rejection.reason(), None);
    assert_eq!(rejection.with_reason("banned").reason(), Some("banned"));
}

#[test]
fn the_error_of_an_invalid_protocol_says_what_is_wrong() {
    let error = "foo bar".parse::<Protocol<'_>>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`foo bar` is not a protocol: a name and perhaps a slash and a version, \
         each a token (RFC 9110 sections 5.6.2 and 7.8)",
    );
    assert!(error.source().is_none());
}

#[test]
fn registering_an_invalid_protocol_panics_with_the_token_and_the_rule() {
    // R9110-2.2-01.
    for (token, shown) in [
        ("foo bar", "foo bar"),
        ("foo/1/2", "foo/1/2"),
        ("", ""),
        ("f,oo", "f,oo"),
        ("\"foo\"", "\\\"foo\\\""),
        ("foo/", "foo/"),
        ("/*", "/*"),
        ("foo\r\nx: y", "foo\\r\\nx: y"),
    ] {
        let panic = panic::catch_unwind(|| UpgradeLayer::new().on(token, switch)).unwrap_err();
        assert_eq!(
            *panic.downcast::<String>().unwrap(),
            format!(
                "cannot register a handler: `{shown}` is not a protocol: a name and perhaps a \
                 slash and a version, each a token (RFC 9110 sections 5.6.2 and 7.8)"
            ),
        );
    }
}

#[test]
fn registering_a_misspelled_protocol_panics_with_the_right_spelling() {
    for (spelling, sent) in [
        ("ws", "websocket"),
        ("WSS", "websocket"),
        ("ws/*", "websocket"),
        ("websocket/13", "websocket"),
        ("h2", "h2c"),
        ("H2/*", "h2c"),
        ("h2c/1", "h2c"),
    ] {
        let panic = panic::catch_unwind(|| UpgradeLayer::new().on(spelling, switch)).unwrap_err();
        assert_eq!(
            *panic.downcast::<String>().unwrap(),
            format!(
                "cannot register a handler: no client sends `{spelling}`; clients send `{sent}`"
            ),
        );
    }
    for spelling in ["websocket", "WebSocket/*", "h2c", "h2c/*", "wsx", "h2x", "http/2"] {
        let _registered = UpgradeLayer::new().on(spelling, switch);
    }
}

#[test]
fn a_rejection_comes_from_a_status_and_a_text() {
    for rejection in [
        Rejection::from((StatusCode::CONFLICT, "taken")),
        Rejection::from((StatusCode::CONFLICT, String::from("taken"))),
    ] {
        assert_eq!(rejection.status(), StatusCode::CONFLICT);
        let text = format!("{rejection:?}");
        assert!(text.contains("\"content-type\": \"text/plain; charset=utf-8\""), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_prints_its_causes_in_the_alternate_form() {
    #[derive(Debug)]
    struct Outer(io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no tea")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    let log = Log::default();
    let failures = log.clone();
    let layer = UpgradeLayer::new()
        .on("foo/*", |_request: Request<Bytes>| async {
            Switch::to(|_io: Upgraded| async { Err(Outer(io::Error::other("no water"))) })
        })
        .on_failure(move |error| failures.push(format!("{error} | {error:#}")));
    Wire::serve(layer.layer(inner(&log))).exchange(offer()).await.is(&switching("foo/1"));
    assert_eq!(
        log.take(),
        [
            "the upgraded connection ended with an error | the upgraded connection ended with an error: no tea: no water"
        ]
    );
}

/// The layer with a handler whose failures go to the log, as `Kind protocol: text`.
fn failing<H>(log: &Log, handler: H) -> UpgradeLayer
where
    H: UpgradeHandler,
{
    let log = log.clone();
    UpgradeLayer::new().on("foo/*", handler).on_failure(move |error| {
        let debug = format!("{error:?}");
        assert!(debug.starts_with("UpgradeError {"), "{debug}");
        assert!(error.source().is_none_or(|source| source.to_string() != error.to_string()));
        let (kind, protocol) = (error.kind(), error.protocol());
        log.push(format!("{kind:?} {protocol}: {error}"));
    })
}

fn offer() -> String {
    get(&format!("{CU}Upgrade: foo/1\r\n"))
}

#[track_caller]
fn check_failure(log: &Log, text: &str) {
    let events = log.take();
    assert_eq!(events, [text]);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_body_that_breaks_off() {
    let log = Log::default();
    let layer = failing(&log, (switch as Handler).with_body_limit(5));
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.send(get(&format!("{CU}Upgrade: foo/1\r\nContent-Length: 5\r\n")) + "he").await;
    wire.io.shutdown().await.unwrap();
    wire.receive().await;
    check_failure(&log, "Body foo/1: the request's body could not be read to its end");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_switch_to_a_protocol_that_was_not_offered() {
    let log = Log::default();
    let layer = failing(&log, |_request: Request<Bytes>| async {
        Switch::to(|_io: Upgraded| async {}).protocols("bar")
    });
    Wire::serve(layer.layer(inner(&log))).exchange(offer()).await.starts_with("HTTP/1.1 500");
    check_failure(&log, "Switch foo/1: the switch could not be carried out");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_101_that_an_outer_layer_replaced() {
    let log = Log::default();
    let service = failing(&log, switch).layer(inner(&log));
    let service = MapResponse::new(service, |_response| Response::new(Full::<Bytes>::from("no")));
    Wire::serve(service).exchange(offer()).await.starts_with("HTTP/1.1 200");
    check_failure(
        &log,
        "Replaced foo/1: the response that switches did not leave the server: an outer layer replaced or dropped it",
    );
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_server_without_upgrades() {
    let log = Log::default();
    let service = TowerToHyperService::new(failing(&log, switch).layer(inner(&log)));
    let (mut client, server) = tokio::io::duplex(1024);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    client.write_all(offer().as_bytes()).await.unwrap();
    connection.await.unwrap();
    settle().await;
    check_failure(
        &log,
        "NotEnabled foo/1: the connection is served without upgrades: call `.with_upgrades()` on \
         hyper's connection, or `serve_connection_with_upgrades` on hyper-util's builder",
    );
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_connection_that_closes_before_the_101_is_written() {
    let log = Log::default();
    // The 101 does not fit into the pipe, and the client does not read it.
    let mut wire = Wire::serve_with_buffer(failing(&log, switch).layer(inner(&log)), 8);
    wire.send(offer()).await;
    settle().await;
    drop(wire.io);
    settle().await;
    check_failure(&log, "Disconnected foo/1: the connection was closed before it was switched");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_handler_that_fails() {
    let log = Log::default();
    let layer = failing(&log, |_request: Request<Bytes>| async {
        Switch::to(|_io: Upgraded| async { Err(io::Error::other("out of tea")) })
    });
    Wire::serve(layer.layer(inner(&log))).exchange(offer()).await.is(&switching("foo/1"));
    check_failure(&log, "Handler foo/1: the upgraded connection ended with an error");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_handler_that_panics() {
    let log = Log::default();
    let layer = failing(&log, |_request: Request<Bytes>| async {
        Switch::to(|io: Upgraded| async move { assert_eq!(io.protocol().name(), "tea") })
    });
    Wire::serve(layer.layer(inner(&log))).exchange(offer()).await.is(&switching("foo/1"));
    check_failure(&log, "Panicked foo/1: the handler, or the function on its connection, panicked");
}

#[test]
fn the_readme_names_the_rust_version_of_the_manifest() {
    let sentence = format!("It needs Rust {}", env!("CARGO_PKG_RUST_VERSION"));
    assert!(include_str!("../../README.md").contains(&sentence), "{sentence}");
}
