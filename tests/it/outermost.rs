//! With `UpgradeLayer::outermost()` around everything, a handler runs if and only if its 101 leaves
//! the server, whatever layers are in between.

use std::{convert::Infallible, future, time::Duration};

use axum::{Router, body::Body as AxumBody, routing::any};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::timeout::{ResponseBodyTimeoutLayer, TimeoutLayer};
use tower_upgrade::{BoxError, Switch, UpgradeBody, UpgradeHandler, UpgradeLayer, Upgraded};

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
    let service = UpgradeLayer::outermost().layer(service_fn(move |request: Request<Incoming>| {
        let (first, second) = (upgrade.clone(), upgrade.clone());
        async move {
            let (head, _) = request.into_parts();
            let clone = |head: &Parts| Request::from_parts(head.clone(), Empty::new());
            drop(first.oneshot(clone(&head)).await?);
            second.oneshot(clone(&head)).await
        }
    }));
    let received = Wire::serve(service).exchange(offer()).await;
    received.starts_with("HTTP/1.1 503").and_ends();
    assert_eq!((log.count("foo asked"), log.count("foo runs")), (2, 0));
    assert_eq!(log.count("failed foo Replaced"), 2, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn several_layers_below_one_outermost_each_switch_their_own_requests() {
    let log = Log::default();
    let service = ServiceBuilder::new()
        .layer(UpgradeLayer::outermost())
        .layer(UpgradeLayer::new().on("foo", echo(&log, "outer").when(|head| head.uri == "/outer")))
        .layer(UpgradeLayer::new().on("foo", echo(&log, "inner")))
        .service(inner(&log));
    let mut wire = Wire::serve(service.clone());
    wire.exchange(get("")).await.is(OK);
    wire.exchange(get(&format!("{CU}Upgrade: nope\r\n"))).await.is(OK);
    wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]"));
    let outer = request("GET /outer HTTP/1.1", FOO) + "NP";
    Wire::serve(service).exchange(outer).await.is(&(switching("foo") + "[NP]"));
    assert_eq!((log.count("inner runs"), log.count("outer runs")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn of_two_outermost_layers_the_outer_one_decides() {
    let log = Log::default();
    let around = |change: fn(Boxed) -> Boxed| {
        let service = ServiceBuilder::new()
            .layer(UpgradeLayer::outermost())
            .map_response(change)
            .map_response(|response: Response<_>| response.map(boxed))
            .layer(UpgradeLayer::outermost())
            .layer(fixture(&log))
            .service(inner(&log));
        Wire::serve(service)
    };
    let received = around(|response| response).exchange(offer()).await;
    assert!(received.text.ends_with("\r\n\r\n[early]"), "{received:?}");
    log.take();
    let received = around(|_| Response::new(boxed(Full::from("no")))).exchange(offer()).await;
    assert_not_run(&received, &log);
}

#[tokio::test(start_paused = true)]
async fn a_layer_around_it_that_replaces_the_101_is_noticed_as_without_it() {
    let log = Log::default();
    let service = ServiceBuilder::new()
        .map_response(|_| Response::new(Full::<Bytes>::from("sorry")))
        .layer(UpgradeLayer::outermost())
        .layer(fixture(&log))
        .service(inner(&log));
    let received = Wire::serve(service).exchange(offer()).await;
    received.ends_with("sorry");
    assert_not_run(&received, &log);
    let failure = log.take().pop().unwrap();
    assert!(failure.contains("a layer is around `UpgradeLayer::outermost()`"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn an_outer_layer_that_sets_connection_does_not_lose_the_upgrade_option() {
    // R9110-7.8-14
    let log = Log::default();
    let mut wire = under(&log, |mut response| {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        response.map(boxed)
    });
    let received = wire.exchange(get(FOO) + "NP").await;
    received.ends_with("\r\n\r\n[NP]");
    assert!(received.text.contains("connection: upgrade, keep-alive\r\n"), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn headers_that_outer_layers_add_are_in_the_101() {
    let log = Log::default();
    let mut wire = under(&log, |mut response| {
        response.headers_mut().insert("x-request-id", HeaderValue::from_static("7"));
        response.map(boxed)
    });
    let received = wire.exchange(get(FOO) + "NP").await;
    received.ends_with("\r\n\r\n[NP]");
    assert!(received.text.contains("x-request-id: 7\r\n"), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn a_101_of_an_inner_service_is_sent_as_it_is() {
    // P-63
    let log = Log::default();
    let service = ServiceBuilder::new()
        .layer(UpgradeLayer::outermost())
        .layer(fixture(&log))
        .service_fn(|_: Request<Incoming>| async {
            let response = Response::builder().status(101).header("upgrade", "mine");
            Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
        });
    let mut wire = Wire::serve(service);
    let received = wire.exchange(get(&format!("{CU}Upgrade: mine\r\n"))).await;
    received.is("HTTP/1.1 101 Switching Protocols\r\nupgrade: mine\r\n\r\n");
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_sent_as_it_is() {
    let layer = UpgradeLayer::new()
        .on("foo", |_: Request<Bytes>| async { Err::<Switch, _>((StatusCode::CONFLICT, "taken")) });
    let service = UpgradeLayer::outermost().layer(layer.layer(inner(&Log::default())));
    let mut wire = Wire::serve(service);
    for _ in 0..2 {
        let received = wire.exchange(get(FOO)).await;
        received.starts_with("HTTP/1.1 409").ends_with("\r\n\r\ntaken").and_is_open();
        assert!(received.text.contains("content-type: text/plain; charset=utf-8\r\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_kept_the_token_of_another_gets_one_of_its_own() {
    // A proxy in the same server may put the extensions of one request into another.
    let log = Log::default();
    let upgrade = UpgradeLayer::outermost().layer(fixture(&log).layer(inner(&log)));
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None::<http::Extensions>));
    let keeping =
        UpgradeLayer::outermost().layer(service_fn(move |mut request: Request<Incoming>| {
            let upgrade = upgrade.clone();
            let mut kept = kept.lock().unwrap();
            let own = request.extensions().clone();
            if let Some(kept) = kept.replace(own.clone()) {
                // The token is that of the first request, and the connection that of the second.
                *request.extensions_mut() = kept;
                let on_upgrade = own.get::<hyper::upgrade::OnUpgrade>().unwrap().clone();
                request.extensions_mut().insert(on_upgrade);
            } else {
                request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
            }
            async move { upgrade.oneshot(request).await }
        }));
    let mut wire = Wire::serve(keeping);
    wire.exchange(get(FOO)).await.starts_with("HTTP/1.1 200");
    wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]"));
}

#[tokio::test(start_paused = true)]
async fn a_handler_sees_none_of_its_extensions() {
    let log = Log::default();
    let seen = log.clone();
    let layer = UpgradeLayer::new().on("foo", move |request: Request<Bytes>| {
        seen.push(format!("{} extensions", request.extensions().len()));
        async { Switch::to(|_io: Upgraded| async {}) }
    });
    let service = UpgradeLayer::outermost().layer(layer.layer(inner(&log)));
    Wire::serve(service).exchange(get(FOO)).await.is(&switching("foo"));
    // The protocol.
    assert_eq!(log.take(), ["1 extensions"]);
}

#[tokio::test(start_paused = true)]
async fn head_is_switched_around_a_router_but_not_on_one() {
    // axum replaces the body of a response to HEAD after the layers of `Router::layer`.
    let head = request("HEAD /x HTTP/1.1", FOO);
    let log = Log::default();
    let app = Router::new().route("/x", any(|| async { "ok" })).layer(fixture(&log));
    let around = UpgradeLayer::outermost().layer(app.clone());
    Wire::serve(around).exchange(head.clone() + "NP").await.is(&(switching("foo") + "[NP]"));
    let on = app.layer(UpgradeLayer::outermost());
    Wire::serve(on).exchange(head).await.starts_with("HTTP/1.1 101").and_ends();
    assert_eq!(
        log.count("failed foo Replaced"),
        1,
        "if this fails, the documentation can say less"
    );
}

#[tokio::test(start_paused = true)]
async fn on_a_router_it_is_certain_for_every_layer_added_before() {
    let log = Log::default();
    let app = Router::new()
        .route("/x", any(|| async { "ok" }))
        .layer(fixture(&log))
        .layer(ResponseBodyTimeoutLayer::new(Duration::from_secs(60)))
        .layer(axum::middleware::map_response(|response: Response<AxumBody>| async {
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Response::from_parts(head, AxumBody::from(body))
        }))
        .layer(UpgradeLayer::outermost());
    let mut wire = Wire::serve(app);
    wire.exchange(get("")).await.ends_with("\r\n\r\nok").and_is_open();
    // axum writes the size of a body of another type into the headers.
    let received = wire.exchange(get(FOO) + "NP").await;
    received.starts_with("HTTP/1.1 101 Switching Protocols\r\n").ends_with("\r\n\r\n[NP]");
}

#[tokio::test]
async fn requests_responses_and_errors_of_any_type_pass() {
    let mut service = UpgradeLayer::outermost().layer(service_fn(|request: Request<&str>| {
        let body = *request.body();
        future::ready(if body.is_empty() { Err("empty") } else { Ok(Response::new(body.len())) })
    }));
    // This body does not implement `Body`.
    assert!(service.call(Request::new("hello")).await.is_ok());
    assert_eq!(service.call(Request::new("")).await.err(), Some("empty"));
}
