//! Requests with a body: read to its end before the switch, or forwarded whole.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, ServiceExt};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn by_default_a_request_with_a_body_is_forwarded_whole() {
    // P-52, P-53, R9110-7.8-16, KES-04, KES-06
    for (headers, body, read) in [
        ("Content-Length: 5\r\n", "hello", "hello"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", ""),
    ] {
        let bytes = [offering(headers, body), get("").into_bytes()].concat();
        for at in 0..bytes.len() {
            let log = Log::default();
            let received = connect(&log).exchange_split(&bytes, at).await;
            received.is(&(String::from(OK) + OK)).and_is_open();
            let first = format!("inner POST /x {read:?} upgradable");
            assert_eq!(log.take(), [first.as_str(), "inner GET /x \"\""], "split at {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_gets_the_whole_body_and_the_connection_the_bytes_after_it() {
    // P-52 with a handler that opts in, R9110-7.8-16, S-1, H-4
    let bytes = [offering("Content-Length: 5\r\n", "hello"), b"NP".to_vec()].concat();
    for at in 0..bytes.len() {
        let log = Log::default();
        let mut wire = connect_with_limit(&log, 5);
        let received = wire.exchange_split(&bytes, at).await;
        received.is(&(switching("foo") + expected_echo(&bytes, at)));
        assert!(log.has("foo asked \"hello\""), "split at {at}: {log:?}");
        assert_eq!(log.count("inner"), 0);
    }
}

/// `NP` arrives in two pieces if it is split.
fn expected_echo(bytes: &[u8], at: usize) -> &'static str {
    if at == bytes.len() - 1 { "[N][P]" } else { "[NP]" }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_come_byte_by_byte() {
    let log = Log::default();
    let mut wire = connect_with_limit(&log, 5);
    for byte in offering("Content-Length: 5\r\n", "hello") {
        wire.receive().await.is("");
        wire.send([byte]).await;
    }
    wire.receive().await.is(&switching("foo"));
    assert_eq!(log.take(), ["foo asked \"hello\"", "foo runs foo"]);
}

#[tokio::test(start_paused = true)]
async fn one_byte_over_the_limit_is_forwarded_whole() {
    // S-1
    for (limit, switched) in [(4, false), (5, true)] {
        let log = Log::default();
        let mut wire = connect_with_limit(&log, limit);
        let received = wire.exchange(offering("Content-Length: 5\r\n", "hello")).await;
        if switched {
            received.is(&switching("foo"));
        } else {
            received.is(OK);
            assert_eq!(log.take(), ["inner POST /x \"hello\" upgradable"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_is_forwarded_whatever_the_limit() {
    // P-53, R9112-6.1-02: the length is not known beforehand.
    let log = Log::default();
    let mut wire = connect_with_limit(&log, 1 << 20);
    let headers = "Transfer-Encoding: chunked\r\n";
    wire.exchange(offering(headers, "5\r\nhello\r\n0\r\n\r\n")).await.is(OK).and_is_open();
    assert_eq!(log.take(), ["inner POST /x \"hello\" upgradable"]);

    let headers = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
    wire.exchange(offering(headers, "5\r\nhello\r\n0\r\n\r\n"))
        .await
        .starts_with("HTTP/1.1 200")
        .and_ends();
}

#[tokio::test(start_paused = true)]
async fn a_length_of_zero_is_no_body() {
    // P-54, KES-05
    let (received, log) = exchange(offering("Content-Length: 0\r\n", "NP")).await;
    received.is(&(switching("foo") + "[NP]"));
    assert_eq!(log.count("inner"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_method_does_not_matter_to_the_framing() {
    // R9112-6-01
    let (received, log) = exchange(get(&format!("{FOO}Content-Length: 5\r\n")) + "hello").await;
    received.is(OK);
    assert_eq!(log.take(), ["inner GET /x \"hello\" upgradable"]);
}

#[tokio::test(start_paused = true)]
async fn a_100_precedes_the_101_where_it_is_expected() {
    // P-55, R9110-7.8-17, R9110-10.1.1-04, R9110-10.1.1-05, H-6
    for expectation in ["100-continue", "100-Continue"] {
        let log = Log::default();
        let mut wire = connect_with_limit(&log, 5);
        let headers = format!("Content-Length: 5\r\nExpect: {expectation}\r\n");
        let received = wire.exchange(offering(&headers, "")).await;
        received.is("HTTP/1.1 100 Continue\r\n\r\n").and_is_open();
        assert_eq!(log.take(), [""; 0]);
        wire.exchange("helloNP").await.is(&(switching("foo") + "[NP]"));
        assert_eq!(log.take()[0], "foo asked \"hello\"");
    }
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_decides_about_the_expectation_of_a_forwarded_request() {
    // P-55 with a handler that takes no body
    let log = Log::default();
    let mut wire = connect(&log);
    let headers = "Content-Length: 5\r\nExpect: 100-continue\r\n";
    wire.exchange(offering(headers, "")).await.is("HTTP/1.1 100 Continue\r\n\r\n");
    wire.exchange("hello").await.is(OK).and_is_open();
    assert_eq!(log.take(), ["inner POST /x \"hello\" upgradable"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_would_wait_for_an_unsent_100_is_forwarded() {
    // P-56, R9110-10.1.1-07, H-7: hyper may send no 100, so no 101 may follow.
    for expectation in [
        "Expect: 100-continue, x\r\n",
        "Expect: x,100-CONTINUE\r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\n",
        "Expect: 100-continue\r\nExpect: x\r\n",
        "Expect: 100-continue;q=1\r\n",
    ] {
        let log = Log::default();
        let mut wire = connect_with_limit(&log, 5);
        let headers = format!("Content-Length: 5\r\n{expectation}");
        wire.exchange(offering(&headers, "hello")).await.ends_with(OK).and_is_open();
        assert_eq!(log.take(), ["inner POST /x \"hello\" upgradable"], "{expectation}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_expectation_does_not_matter() {
    // R9110-10.1.1-06
    let log = Log::default();
    let mut wire = connect_with_limit(&log, 5);
    let received = wire.exchange(offering("Content-Length: 5\r\nExpect: foo\r\n", "hello")).await;
    received.is(&switching("foo"));
}

#[tokio::test(start_paused = true)]
async fn without_a_body_there_is_nothing_to_expect() {
    // R9110-10.1.1-02, R9110-10.1.1-09
    for expectation in ["100-continue", "100-continue, x"] {
        let (received, _) = exchange(get(&format!("{FOO}Expect: {expectation}\r\n"))).await;
        received.is(&switching("foo"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_never_reaches_the_handler() {
    // P-57, S-1
    let bytes = offering("Content-Length: 5\r\n", "hell");
    for end in bytes.len() - 4..=bytes.len() {
        let log = Log::default();
        let mut wire = connect_with_limit(&log, 5);
        wire.send(&bytes[..end]).await;
        tokio::io::AsyncWriteExt::shutdown(&mut wire.io).await.unwrap();
        wire.receive().await.is(BAD_REQUEST).and_ends();
        assert_eq!(log.count("failed foo Body"), 1);
        assert_eq!(log.take().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_read_gets_a_400_that_closes() {
    // An outer layer's body fails, such as one with a time limit for reading.
    let log = Log::default();
    let inner = tower::service_fn(|_: Request<Broken>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let upgrade = layer_with_limit(&log, 5).layer(inner);
    let service = upgrade.map_request(|request: Request<Incoming>| request.map(|_| Broken));
    let offer = get(&format!("{FOO}Content-Length: 5\r\n"));
    let received = Wire::serve(service).exchange(offer + &get("")).await;
    received.is(BAD_REQUEST).and_ends();
    let expected = "failed foo Body: the request's body could not be read to its end: broken";
    assert_eq!(log.take(), [expected]);
}

#[derive(Clone, Copy)]
struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Err("broken")))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(5)
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_longer_than_its_size_hint_never_reaches_the_handler() {
    // S-1: an outer layer may pass on a body with a wrong size hint.
    struct Longer(Full<Bytes>);

    impl Body for Longer {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(1)
        }
    }

    let log = Log::default();
    let inner = tower::service_fn(|_: Request<Longer>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let upgrade = layer_with_limit(&log, 5).layer(inner);
    let service = upgrade
        .map_request(|request: Request<Incoming>| request.map(|_| Longer(Full::from("six bytes"))));
    let offer = get(&format!("{FOO}Content-Length: 1\r\n"));
    Wire::serve(service).exchange(offer).await.starts_with("HTTP/1.1 400").and_ends();
    assert_eq!(log.count("foo"), 0);
    assert_eq!(log.count("failed foo Body"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_the_announced_one_is_forwarded() {
    // S-1: an outer layer may leave the body unread, and pass on another.
    for headers in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let log = Log::default();
        let inner = tower::service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        });
        let upgrade = layer_with_limit(&log, 5).layer(inner);
        let service = upgrade
            .map_request(|request: Request<Incoming>| request.map(|_| Full::<Bytes>::default()));
        Wire::serve(service).exchange(offering(headers, "")).await.starts_with("HTTP/1.1 200");
        assert_eq!(log.take(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_1_0_client_gets_no_100() {
    // R9110-10.1.1-01
    let log = Log::default();
    let headers = format!("{FOO}Content-Length: 5\r\nExpect: 100-continue\r\n");
    let bytes = request("POST /x HTTP/1.0", &headers) + "hello";
    let received = connect_with_limit(&log, 5).exchange(bytes).await;
    received.starts_with("HTTP/1.0 200 OK\r\n").and_ends();
    assert_eq!(log.take(), ["inner POST /x \"hello\""]);
}
