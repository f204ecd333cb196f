//! The length of a body whose size an outer layer hides: the head has it, and the body is held to it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_http::timeout::RequestBodyTimeoutLayer;
use tower_upgrade::BoxError;

use crate::support::*;

/// A body that hides its size, as a stream does and the bodies of many layers.
struct Hidden<B>(B);

impl<B> Body for Hidden<B>
where
    B: Body + Unpin,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

/// Serves a handler for `foo` with this limit, below a layer that wraps each body.
fn behind<B>(log: &Log, limit: usize, wrap: fn(Incoming) -> B) -> Wire
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let seen = log.clone();
    let inner = tower::service_fn(move |request: Request<B>| {
        seen.push(format!("inner {}", request.uri()));
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))) }
    });
    let upgrade = layer_with_limit(log, limit).layer(inner);
    Wire::serve(upgrade.map_request(move |request: Request<Incoming>| request.map(wrap)))
}

#[tokio::test(start_paused = true)]
async fn the_head_has_the_length_of_a_body_whose_size_a_layer_hides() {
    for (headers, body, read) in [
        ("", "", ""),
        ("Content-Length: 0\r\n", "", ""),
        ("Content-Length: 5\r\n", "hello", "hello"),
    ] {
        let bytes = [offering(headers, body), b"NP".to_vec()].concat();
        for at in 0..bytes.len() - 2 {
            let log = Log::default();
            let mut wire = behind(&log, 5, Hidden);
            wire.exchange_split(&bytes, at).await.is(&(switching("foo") + "[NP]"));
            assert!(log.has(&format!("foo asked {read:?}")), "{headers:?} split at {at}: {log:?}");
        }
    }
    // A body over the limit, and a chunked one.
    for (headers, body) in
        [("Content-Length: 6\r\n", "hello!"), ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")]
    {
        let log = Log::default();
        behind(&log, 5, Hidden).exchange(offering(headers, body)).await.ends_with("ok");
        assert_eq!(log.take(), ["inner /x"]);
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_time_limit_for_the_body_a_request_is_switched() {
    for (headers, body) in [("", ""), ("Content-Length: 5\r\n", "hello")] {
        let log = Log::default();
        let service = ServiceBuilder::new()
            .layer(RequestBodyTimeoutLayer::new(Duration::from_secs(60)))
            .layer(layer_with_limit(&log, 5))
            .service_fn(|_: Request<_>| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
            });
        let received = Wire::serve(service).exchange(offering(headers, body)).await;
        received.is(&switching("foo")).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn a_hidden_body_of_another_length_than_the_head_says_gets_a_400_that_closes() {
    type Replace = fn(Incoming) -> Hidden<Full<Bytes>>;

    let bodies: [Replace; 3] = [
        |_| Hidden(Full::from("hell")),
        |_| Hidden(Full::from("hello!")),
        |_| Hidden(Full::default()),
    ];
    for body in bodies {
        let log = Log::default();
        let mut wire = behind(&log, 50, body);
        let received = wire.exchange(offering("Content-Length: 5\r\n", "hello")).await;
        received.is(BAD_REQUEST).and_ends();
        assert_eq!((log.count("failed foo Body"), log.count("foo asked")), (1, 0), "{log:?}");
    }
    // A head without a length announces no body.
    let log = Log::default();
    let mut wire = behind(&log, 50, |_| Hidden(Full::<Bytes>::from("h")));
    wire.exchange(get(FOO)).await.is(BAD_REQUEST).and_ends();
    assert_eq!((log.count("failed foo Body"), log.count("foo asked")), (1, 0), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_contradicts_the_head_is_forwarded() {
    let bodies: [fn(Incoming) -> Full<Bytes>; 3] =
        [|_| Full::from("hell"), |_| Full::from("hello!"), |_| Full::default()];
    for body in bodies {
        let log = Log::default();
        let mut wire = behind(&log, 50, body);
        let received = wire.exchange(offering("Content-Length: 5\r\n", "")).await;
        received.starts_with("HTTP/1.1 200");
        assert_eq!(log.take(), ["inner /x"]);
    }
}
