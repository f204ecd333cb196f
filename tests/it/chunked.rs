//! Chunked bodies, read up to the handler's limit. Docker's clients send them.

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{Layer, ServiceBuilder};
use tower_upgrade::{UpgradeHandler, UpgradeLayer};

use crate::support::*;

fn layer(log: &Log, limit: usize) -> UpgradeLayer {
    let failures = log.clone();
    UpgradeLayer::new()
        .on("foo", echo(log, "foo").with_chunked_body_limit(limit))
        .on_failure(move |error| failures.push(describe(&error)))
}

fn offering(chunks: &str) -> String {
    post(&format!("{FOO}Transfer-Encoding: chunked\r\n"), chunks)
}

const TOO_LARGE: &str =
    "HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_chunked_body_is_read_to_its_end_wherever_it_is_split() {
    // P-53, S-1, H-4
    for (chunks, read) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"),
        ("2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: foo\r\n\r\n", "hello"),
    ] {
        let bytes = offering(chunks) + "NP";
        for at in 0..bytes.len() - 2 {
            let log = Log::default();
            let mut wire = Wire::serve(layer(&log, 5).layer(inner(&log)));
            let received = wire.exchange_split(bytes.as_bytes(), at).await;
            assert_eq!(received.text, switching("foo") + "[NP]", "{chunks:?} split at {at}");
            assert!(log.has(&format!("foo asked {read:?}")), "{chunks:?} split at {at}: {log:?}");
            assert_eq!(log.count("inner"), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_over_the_limit_gets_a_413_and_nothing_after_it_is_read() {
    for chunks in ["6\r\nhello!\r\n0\r\n\r\n", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"] {
        let bytes = offering(chunks) + &get(FOO) + "NP";
        for at in 0..bytes.len() {
            let log = Log::default();
            let mut wire = Wire::serve(layer(&log, 5).layer(inner(&log)));
            let received = wire.exchange_split(bytes.as_bytes(), at).await;
            received.is(TOO_LARGE).and_ends();
            assert_eq!(log.count("failed foo Body"), 1, "{log:?}");
            assert_eq!((log.count("foo"), log.count("inner")), (0, 0), "{log:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_that_breaks_off_or_is_malformed_gets_a_400_or_eof() {
    // P-57, S-1
    for chunks in
        ["5\r\nhell", "5\r\nhello\r\n", "z\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n"]
    {
        let log = Log::default();
        let mut wire = Wire::serve(layer(&log, 50).layer(inner(&log)));
        wire.send(offering(chunks)).await;
        tokio::io::AsyncWriteExt::shutdown(&mut wire.io).await.unwrap();
        let received = wire.receive().await;
        received.and_ends();
        assert!(
            received.text.is_empty() || received.text.starts_with("HTTP/1.1 400"),
            "{received:?}"
        );
        assert_eq!(log.count("foo"), 0, "{log:?}");
        assert_eq!(log.count("failed foo Body"), 1, "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_a_known_length_has_the_same_limit() {
    for (body, switched) in [("hello", true), ("hello!", false)] {
        let log = Log::default();
        let mut wire = Wire::serve(layer(&log, 5).layer(inner(&log)));
        let headers = format!("{FOO}Content-Length: {}\r\n", body.len());
        let received = wire.exchange(post(&headers, body)).await;
        if switched {
            received.is(&switching("foo"))
        } else {
            received.is(OK)
        };
    }
}

#[tokio::test(start_paused = true)]
async fn a_100_precedes_the_101_for_a_chunked_body_too() {
    // P-55, R9110-7.8-17
    let log = Log::default();
    let mut wire = Wire::serve(layer(&log, 5).layer(inner(&log)));
    let headers = format!("{FOO}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n");
    wire.exchange(post(&headers, "")).await.is("HTTP/1.1 100 Continue\r\n\r\n").and_is_open();
    wire.exchange("5\r\nhello\r\n0\r\n\r\nNP").await.is(&(switching("foo") + "[NP]"));
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_that_an_outer_layer_replaced_is_forwarded() {
    // S-1: the client's own body may be unread.
    let log = Log::default();
    let service = ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(|_| Full::from("hello")))
        .layer(layer(&log, 5))
        .service_fn(|request: Request<Full<bytes::Bytes>>| async {
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::from(body)))
        });
    let received = Wire::serve(service).exchange(offering("")).await;
    received.starts_with("HTTP/1.1 200").ends_with("hello");
    assert_eq!(log.take(), [""; 0]);
}
