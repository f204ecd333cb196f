//! Decisions of handlers, and the responses that the client gets.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, SERVER, UPGRADE},
};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tokio_test::stream_mock::StreamMockBuilder;
use tower::Layer;
use tower_upgrade::{IntoSwitch, Rejection, Switch, UpgradeLayer, Upgraded};

use crate::support::*;

const OFFER: &str = "Connection: upgrade\r\nUpgrade: foo/1\r\n";

/// Serves a layer whose handler for every version of `foo` returns this decision.
fn deciding<D>(log: &Log, decision: impl Fn() -> D + Clone + Send + Sync + 'static) -> Wire
where
    D: IntoSwitch + Send + 'static,
{
    let failures = log.clone();
    let layer = UpgradeLayer::new()
        .on("foo/*", move |_request: Request<Bytes>| {
            let decision = decision.clone();
            async move { decision() }
        })
        .on_failure(move |error| failures.push(describe(&error)));
    Wire::serve(layer.layer(inner(log)))
}

fn rejecting<R>(rejection: impl Fn() -> R + Clone + Send + Sync + 'static) -> Wire
where
    R: Into<Rejection> + Send + 'static,
{
    deciding(&Log::default(), move || Err::<Switch, _>(rejection()))
}

fn idle() -> Switch {
    Switch::to(|io: Upgraded| async move {
        std::future::pending::<()>().await;
        drop(io);
    })
}

#[tokio::test(start_paused = true)]
async fn headers_of_the_handler_are_in_the_101() {
    let mut wire = deciding(&Log::default(), || {
        idle()
            .header(SERVER, HeaderValue::from_static("a"))
            .header(HeaderName::from_static("x-list"), HeaderValue::from_static("1"))
            .header(HeaderName::from_static("x-list"), HeaderValue::from_static("2"))
    });
    wire.exchange(get(OFFER))
        .await
        .is("HTTP/1.1 101 Switching Protocols\r\nserver: a\r\nx-list: 1\r\nx-list: 2\r\n\
         connection: upgrade\r\nupgrade: foo/1\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn headers_that_a_101_cannot_have_are_ignored() {
    // R9110-8.6-01, R9112-6.1-01, R9110-7.6.1-05, R7540-3.2.1-03, H-8
    let mut wire = deciding(&Log::default(), || {
        let names = [
            "connection",
            "content-length",
            "content-type",
            "http2-settings",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ];
        let value = HeaderValue::from_static("5");
        names.into_iter().fold(idle(), |switch, name| {
            switch.header(HeaderName::from_static(name), value.clone())
        })
    });
    wire.exchange(get(OFFER)).await.is(&switching("foo/1"));
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_protocols_is_named_lowest_first() {
    // R9110-7.8-07, R2817-3.3-01, R9110-5.6.3-02
    let log = Log::default();
    let layer = UpgradeLayer::new()
        .on("TLS/*", |_request: Request<Bytes>| async { idle().protocols("TLS/1.2,HTTP/1.1") });
    let service = layer.layer(inner(&log));
    let bytes = get(&format!("{CU}Upgrade: TLS/1.2\r\n"));
    Wire::serve(service).exchange(bytes).await.is(&switching("TLS/1.2, HTTP/1.1"));
}

#[tokio::test(start_paused = true)]
async fn a_101_never_names_a_protocol_that_was_not_offered() {
    // R9110-7.8-08
    for protocols in [
        "bar/2",
        "foo/2",
        "foo",
        "foo/1, nope",
        "foo/1, HTTP/1.1",
        "bar, foo/1",
        "",
        "foo/1,,",
        "a b",
    ] {
        let log = Log::default();
        let mut wire = deciding(&log, move || idle().protocols(protocols));
        let headers = format!("{OFFER}Upgrade: bar\r\n");
        wire.exchange(get(&headers)).await.starts_with("HTTP/1.1 500").and_is_open();
        let failures = log.take();
        assert_eq!(failures.len(), 1);
        assert!(failures[0].starts_with("failed foo/1 Switch: "), "{failures:?}");
        assert!(failures[0].contains(&format!("`{protocols}`")), "{failures:?}");
        wire.exchange(get("")).await.is(OK);
    }
    let mut wire = deciding(&Log::default(), || idle().protocols("FOO/1, bar"));
    let headers = format!("{OFFER}Upgrade: bar\r\n");
    wire.exchange(get(&headers)).await.is(&switching("foo/1, bar"));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_the_handlers_response_and_the_connection_stays_open() {
    // R9931-5-01
    let mut wire = rejecting(|| StatusCode::FORBIDDEN);
    let rejection = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    wire.exchange(get(OFFER)).await.is(rejection).and_is_open();
    wire.exchange(get("")).await.is(OK).and_is_open();
    // R9931-3-02: bytes sent early are the next request.
    wire.exchange(get(OFFER) + &get("")).await.is(&format!("{rejection}{OK}")).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_rejection_may_stream_its_body() {
    let mut wire = rejecting(|| {
        let chunk = |text| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(text)));
        let chunks = StreamMockBuilder::new()
            .next(chunk(b"no "))
            .wait(Duration::from_secs(60))
            .next(chunk(b"such "))
            .next(chunk(b"room"));
        Response::builder().status(404).body(StreamBody::new(chunks.build())).unwrap()
    });
    let expected = "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n\
                    3\r\nno \r\n5\r\nsuch \r\n4\r\nroom\r\n0\r\n\r\n";
    let first = wire.exchange(get(OFFER)).await;
    first.ends_with("\r\n\r\n3\r\nno \r\n");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let rest = wire.receive().await;
    assert_eq!(first.text + &rest.text, expected);
    rest.and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_426_names_the_protocol_to_switch_to() {
    // R9110-7.8-10, R9110-15.5.22-01, R9110-7.8-14
    let status = "HTTP/1.1 426 Upgrade Required\r\n";
    let mut wire = rejecting(|| StatusCode::UPGRADE_REQUIRED);
    let expected =
        format!("{status}upgrade: foo/1\r\nconnection: upgrade\r\ncontent-length: 0\r\n\r\n");
    wire.exchange(get(OFFER)).await.is(&expected).and_is_open();

    let with = |headers: &[(HeaderName, &'static str)]| {
        let mut response = Response::builder().status(426);
        for (name, value) in headers {
            response = response.header(name, *value);
        }
        response.body(Full::<Bytes>::default()).unwrap()
    };
    let mut wire = rejecting(move || with(&[(UPGRADE, "foo/2"), (CONNECTION, "")]));
    // R9110-5.6.1.1-01: no empty member.
    let expected =
        format!("{status}upgrade: foo/2\r\nconnection: upgrade\r\ncontent-length: 0\r\n\r\n");
    wire.exchange(get(OFFER)).await.is(&expected).and_is_open();

    let mut wire = rejecting(move || with(&[(UPGRADE, "foo/2"), (CONNECTION, "close")]));
    let expected = format!(
        "{status}upgrade: foo/2\r\nconnection: upgrade, close\r\ncontent-length: 0\r\n\r\n"
    );
    wire.exchange(get(OFFER)).await.is(&expected).and_ends();

    let mut wire = rejecting(move || with(&[(UPGRADE, "foo/2"), (CONNECTION, "Upgrade, close")]));
    let expected = format!(
        "{status}upgrade: foo/2\r\nconnection: Upgrade, close\r\ncontent-length: 0\r\n\r\n"
    );
    wire.exchange(get(OFFER)).await.is(&expected).and_ends();
}

#[tokio::test(start_paused = true)]
async fn any_rejection_that_names_protocols_has_the_connection_option() {
    // R9110-7.8-11, R9110-7.8-14
    let mut wire = rejecting(|| {
        Response::builder().header(UPGRADE, "foo/2").body(Full::<Bytes>::default()).unwrap()
    });
    let expected =
        "HTTP/1.1 200 OK\r\nupgrade: foo/2\r\nconnection: upgrade\r\ncontent-length: 0\r\n\r\n";
    wire.exchange(get(OFFER)).await.is(expected).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn an_interim_status_becomes_a_500() {
    for status in [100, 101, 103] {
        let mut wire = rejecting(move || StatusCode::from_u16(status).unwrap());
        wire.exchange(get(OFFER)).await.starts_with("HTTP/1.1 500").and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_deciding_is_a_500_and_the_connection_stays_open() {
    // P-64, S-21
    let log = Log::default();
    let mut wire = deciding(&log, || -> Switch { panic!("out of {}", "luck") });
    wire.exchange(get(OFFER)).await.starts_with("HTTP/1.1 500").and_is_open();
    assert_eq!(
        log.take(),
        [
            "failed foo/1 Panicked: the handler, or the function on its connection, panicked: out of luck"
        ]
    );
    wire.exchange(get("")).await.is(OK).and_is_open();

    let log = Log::default();
    let failures = log.clone();
    let layer = UpgradeLayer::new()
        .on("foo/1", |_: Request<Bytes>| -> std::future::Ready<Switch> { panic!("at once") })
        .on_failure(move |error| failures.push(describe(&error)));
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(get(OFFER)).await.starts_with("HTTP/1.1 500").and_is_open();
    assert_eq!(
        log.take(),
        [
            "failed foo/1 Panicked: the handler, or the function on its connection, panicked: at once"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_the_connection_closes_it() {
    for at_once in [true, false] {
        let log = Log::default();
        let mut wire = deciding(&log, move || {
            Switch::to(move |io: Upgraded| {
                assert!(!at_once, "cannot go on");
                async move {
                    let _io = io;
                    assert!(at_once, "cannot go on");
                }
            })
        });
        wire.exchange(get(OFFER)).await.is(&switching("foo/1")).and_ends();
        assert_eq!(
            log.take(),
            [
                "failed foo/1 Panicked: the handler, or the function on its connection, panicked: cannot go on"
            ]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_on_the_connection_closes_it_and_is_reported() {
    let log = Log::default();
    let mut wire = deciding(&log, || Switch::to(|_io: Upgraded| async { Err("no more") }));
    wire.exchange(get(OFFER)).await.is(&switching("foo/1")).and_ends();
    assert_eq!(
        log.take(),
        ["failed foo/1 Handler: the upgraded connection ended with an error: no more"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_while_the_handler_decides_cancels_the_decision() {
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.push("dropped");
        }
    }
    let log = Log::default();
    let dropped = log.clone();
    let layer = UpgradeLayer::new().on("foo/1", move |_request: Request<Bytes>| {
        let guard = Dropped(dropped.clone());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            idle()
        }
    });
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(get(OFFER)).await.is("").and_is_open();
    assert_eq!(log.take(), [""; 0]);
    drop(wire.io);
    settle().await;
    assert_eq!(log.take(), ["dropped"]);
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_one_date() {
    // R9110-6.6.1-01
    for status in [None, Some(StatusCode::FORBIDDEN), Some(StatusCode::UPGRADE_REQUIRED)] {
        let mut wire = deciding(&Log::default(), move || status.map_or_else(|| Ok(idle()), Err));
        wire.send(get(OFFER)).await;
        let (received, _) = wire.receive_bytes().await;
        let received = String::from_utf8(received).unwrap();
        assert_eq!(received.matches("\r\ndate: ").count(), 1, "{received}");
    }
}
