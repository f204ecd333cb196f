//! With `UpgradeLayer::outermost()` around everything, a handler runs if and only if its 101 leaves
//! the server, whatever layers are in between.

mod passes;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tokio::time::sleep;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_http::timeout::{ResponseBodyTimeoutLayer, TimeoutLayer};
use tower_upgrade::{BoxError, UpgradeBody, UpgradeLayer};

use crate::support::*;

type Answer = Response<UpgradeBody<Full<Bytes>>>;
type Boxed = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>>;

fn boxed<B>(body: B) -> http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// Serves a handler below a layer that changes each response, and an outermost layer around both.
fn under(log: &Log, change: fn(Answer) -> Boxed) -> Wire {
    let service = ServiceBuilder::new()
        .layer(UpgradeLayer::outermost())
        .map_response(change)
        .layer(fixture(log))
        .service(inner(log));
    Wire::serve(service)
}

/// An offer with `Connection: close`, after which hyper hands over the connection whatever the
/// response.
fn offer() -> String {
    get("Connection: upgrade, close\r\nUpgrade: foo\r\n") + "early"
}

#[track_caller]
fn assert_not_run(received: &Received, log: &Log) {
    assert!(!received.text.contains('['), "{received:?}");
    assert_eq!(log.count("foo asked"), 1);
    assert_eq!(log.count("foo runs"), 0, "{log:?}");
    assert_eq!(log.count("failed foo Replaced"), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_101_whose_body_an_outer_layer_hides_or_rebuilds_is_sent_and_the_handler_runs() {
    let changes: [fn(Answer) -> Boxed; 5] = [
        |response| response.map(boxed),
        // A body that does not pass on `is_end_stream` and `size_hint`.
        |response| response.map(|body| boxed(StreamBody::new(body.into_data_stream().map_frame()))),
        // Another body.
        |response| response.map(|_| boxed(Empty::new())),
        // A new response, without the extensions of the old one.
        |response| {
            let (head, body) = response.into_parts();
            let mut new = Response::new(boxed(body));
            (*new.status_mut(), *new.headers_mut()) = (head.status, head.headers);
            new
        },
        // A layer that asks the body everything that a server asks.
        |response| {
            assert!(response.body().is_end_stream());
            assert_eq!(response.body().size_hint().exact(), Some(0));
            response.map(boxed)
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let log = Log::default();
        let mut wire = under(&log, change);
        let received = wire.exchange(get(FOO) + "early").await;
        assert_eq!(received.text, switching("foo") + "[early]", "change {index}");
        assert_eq!(log.count("failed"), 0);
    }
}

/// A stream of the data frames of a body.
trait MapFrame: Sized {
    fn map_frame(self) -> Frames<Self>;
}

impl<B> MapFrame for http_body_util::BodyDataStream<B> {
    fn map_frame(self) -> Frames<Self> {
        Frames(self)
    }
}

struct Frames<S>(S);

impl<S, E> futures_util::Stream for Frames<S>
where
    S: futures_util::Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<http_body::Frame<Bytes>, E>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let next = std::pin::Pin::new(&mut self.0).poll_next(cx);
        next.map(|next| next.map(|data| data.map(http_body::Frame::data)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_hides_the_body_needs_it() {
    for certain in [false, true] {
        let log = Log::default();
        let service = ServiceBuilder::new()
            .layer(ResponseBodyTimeoutLayer::new(Duration::from_secs(60)))
            .layer(fixture(&log))
            .service(inner(&log));
        let mut wire = if certain {
            Wire::serve(UpgradeLayer::outermost().layer(service))
        } else {
            Wire::serve(service)
        };
        let received = wire.exchange(get(FOO) + "early").await;
        if certain {
            received.is(&(switching("foo") + "[early]")).and_is_open();
        } else {
            received.is(&switching("foo")).and_ends();
            let failures = log.take().join("\n");
            assert!(failures.contains("Replaced"), "{failures}");
            assert!(failures.contains("`UpgradeLayer::outermost()`"), "{failures}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_101_that_an_outer_layer_changes_or_replaces_never_starts_the_handler() {
    fn with_status(mut response: Answer, status: StatusCode) -> Boxed {
        *response.status_mut() = status;
        response.map(boxed)
    }
    let changes: [fn(Answer) -> Boxed; 9] = [
        |response| with_status(response, StatusCode::INTERNAL_SERVER_ERROR),
        |response| with_status(response, StatusCode::OK),
        // hyper drops the body of these unpolled, as it drops that of a 101.
        |response| with_status(response, StatusCode::NO_CONTENT),
        |response| with_status(response, StatusCode::NOT_MODIFIED),
        |_| Response::new(boxed(Full::from("sorry"))),
        // A layer that asks the body everything that a server asks, and then answers something else.
        |response| {
            let body = response.body();
            assert!(body.is_end_stream() && body.size_hint().exact() == Some(0));
            Response::new(boxed(Full::from("sorry")))
        },
        // Another 101.
        |mut response| {
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("bar"));
            response.map(boxed)
        },
        |mut response| {
            response.headers_mut().append(header::UPGRADE, HeaderValue::from_static("foo"));
            response.map(boxed)
        },
        |mut response| {
            response.headers_mut().remove(header::UPGRADE);
            response.map(boxed)
        },
    ];
    for change in changes {
        let log = Log::default();
        let received = under(&log, change).exchange(offer()).await;
        // A 101 without a handler is not sent either.
        assert!(!received.text.starts_with("HTTP/1.1 101"), "{received:?}");
        assert_not_run(&received, &log);
        let failure = log.take().pop().unwrap();
        // The error does not name a remedy that is there already.
        assert!(!failure.contains("outermost"), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_101_that_an_async_layer_drops_never_starts_the_handler() {
    let log = Log::default();
    let upgrade = fixture(&log).layer(inner(&log));
    let service = UpgradeLayer::outermost().layer(service_fn(move |request| {
        let upgrade = upgrade.clone();
        async move {
            let response = upgrade.oneshot(request).await?;
            drop(response);
            tokio::task::yield_now().await;
            let response = Response::builder().status(500).header(header::CONNECTION, "close");
            Ok::<_, BoxError>(response.body(Full::<Bytes>::from("sorry")).unwrap())
        }
    }));
    let received = Wire::serve(service).exchange(offer()).await;
    received.starts_with("HTTP/1.1 500").and_ends();
    assert_not_run(&received, &log);
}

#[tokio::test(start_paused = true)]
async fn a_101_whose_outer_service_fails_never_starts_the_handler() {
    let log = Log::default();
    let service = ServiceBuilder::new()
        .layer(UpgradeLayer::outermost())
        .map_result(|_: Result<Answer, BoxError>| {
            Err::<Answer, BoxError>("the store is down".into())
        })
        .layer(fixture(&log))
        .service(inner(&log).map_err(BoxError::from));
    let received = Wire::serve(service).exchange(offer()).await;
    received.and_ends();
    assert_not_run(&received, &log);
}

#[tokio::test(start_paused = true)]
async fn a_101_that_is_late_for_an_outer_time_limit_never_starts_the_handler() {
    let log = Log::default();
    let upgrade = fixture(&log).layer(inner(&log));
    let slow = service_fn(move |request: Request<Incoming>| {
        let upgrade = upgrade.clone();
        async move {
            let response = upgrade.oneshot(request).await;
            sleep(Duration::from_secs(5)).await;
            response
        }
    });
    let service = ServiceBuilder::new()
        .layer(UpgradeLayer::outermost())
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(1)))
        .service(slow);
    let mut wire = Wire::serve(service);
    wire.send(offer()).await;
    sleep(Duration::from_secs(2)).await;
    let received = wire.receive().await;
    received.starts_with("HTTP/1.1 408");
    assert_not_run(&received, &log);
}

#[tokio::test(start_paused = true)]
async fn a_101_whose_handshake_is_over_when_it_leaves_becomes_a_503() {
    let log = Log::default();
    let layer = fixture(&log).handshake_timeout(Duration::from_secs(3));
    let connections = layer.connections();
    let upgrade = layer.layer(inner(&log));
    let service = UpgradeLayer::outermost().layer(service_fn(move |request: Request<Incoming>| {
        let upgrade = upgrade.clone();
        async move {
            let response = upgrade.oneshot(request).await;
            sleep(Duration::from_secs(5)).await;
            response
        }
    }));
    let mut wire = Wire::serve(service);
    wire.send(get(FOO)).await;
    sleep(Duration::from_secs(6)).await;
    let received = wire.receive().await;
    received.is("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").and_is_open();
    assert_eq!((log.count("foo runs"), log.count("failed foo TimedOut")), (0, 1), "{log:?}");

    // The same for an abort.
    wire.send(get(FOO)).await;
    settle().await;
    let shutdown = connections.shutdown(Duration::from_secs(1)).await;
    assert_eq!(shutdown.aborted, 1);
    sleep(Duration::from_secs(5)).await;
    wire.receive().await.starts_with("HTTP/1.1 503").and_is_open();
    assert_eq!((log.count("foo runs"), log.count("failed foo Aborted")), (0, 1), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_handshakes_of_one_request_neither_runs() {
    let log = Log::default();
    let upgrade = fixture(&log).layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
    }));
    // Without a switch, the answer is sent as it is.
    for replaces in [false, true] {
        let upgrade = upgrade.clone();
        let service =
            UpgradeLayer::outermost().layer(service_fn(move |request: Request<Incoming>| {
                let (first, second) = (upgrade.clone(), upgrade.clone());
                async move {
                    let (head, _) = request.into_parts();
                    let clone = |head: &Parts| Request::from_parts(head.clone(), Empty::new());
                    drop(first.oneshot(clone(&head)).await?);
                    let mut response = second.oneshot(clone(&head)).await?;
                    if replaces {
                        *response.status_mut() = StatusCode::NOT_FOUND;
                    }
                    Ok::<_, Infallible>(response)
                }
            }));
        let received = Wire::serve(service).exchange(offer()).await;
        received.starts_with(if replaces { "HTTP/1.1 404" } else { "HTTP/1.1 503" });
        settle().await;
        let events = log.take();
        let count = |start: &str| events.iter().filter(|event| event.starts_with(start)).count();
        assert_eq!((count("foo asked"), count("foo runs")), (2, 0), "{events:?}");
        assert_eq!(count("failed foo Replaced"), 2, "{events:?}");
    }
}
