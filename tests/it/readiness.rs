//! The contract of `Service`, polled by hand.

use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::Layer;
use tower_test::mock;
use tower_upgrade::{BoxError, UpgradeLayer};

use crate::support::*;

type Req = Request<Full<Bytes>>;
type Res = Response<Full<Bytes>>;

fn plain() -> Req {
    Request::new(Full::default())
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
    let (mut service, mut handle) =
        mock::spawn_with(|inner: mock::Mock<Req, Res>| fixture(&Log::default()).layer(inner));
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());

    let mut response = task::spawn(service.call(plain()));
    assert_pending!(service.poll_ready());
    let (_request, send) = handle.next_request().await.unwrap();
    assert_pending!(response.poll());
    send.send_response(Response::new(Full::from("ok")));
    let response = assert_ready_ok!(response.poll());
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn readiness_below_the_outermost_layer_is_the_inner_services() {
    let (mut service, mut handle) =
        mock::spawn_with(|inner: mock::Mock<Req, Res>| UpgradeLayer::outermost().layer(inner));
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[cfg(feature = "h2c")]
#[tokio::test]
async fn with_another_body_readiness_is_the_inner_services() {
    use tower_upgrade::h2c::{RequestBody, RequestBodyLayer};

    let (inner, mut handle) = mock::pair::<Request<RequestBody>, Res>();
    let mut service = RequestBodyLayer::new().layer(inner);
    handle.allow(0);
    let mut ready =
        task::spawn(std::future::poll_fn(|cx| tower::Service::poll_ready(&mut service, cx)));
    assert_pending!(ready.poll());
    handle.allow(1);
    assert!(ready.is_woken());
    assert_ready_ok!(ready.poll());
}

#[tokio::test]
async fn an_error_of_readiness_is_passed_on() {
    let (mut service, mut handle) =
        mock::spawn_with(|inner: mock::Mock<Req, Res>| fixture(&Log::default()).layer(inner));
    handle.send_error("out of order");
    let error: BoxError = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "out of order");
}

#[tokio::test]
async fn an_error_of_the_inner_service_is_passed_on() {
    let (mut service, mut handle) =
        mock::spawn_with(|inner: mock::Mock<Req, Res>| fixture(&Log::default()).layer(inner));
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(plain()));
    let (_request, send) = handle.next_request().await.unwrap();
    send.send_error("broken");
    assert_eq!(assert_ready_err!(response.poll()).to_string(), "broken");
}

#[tokio::test(start_paused = true)]
async fn a_switched_request_leaves_the_inner_service_ready_for_the_next() {
    // P-65: the inner service was ready and was not called, so it stays ready.
    let log = Log::default();
    let (inner, mut handle) = mock::pair::<Request<hyper::body::Incoming>, Res>();
    handle.allow(1);
    let mut service = fixture(&log).layer(inner);
    let (requests, mut taken) = tokio::sync::mpsc::unbounded_channel();
    let catch = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
        requests.send(request).unwrap();
        std::future::pending::<Result<Res, BoxError>>()
    });
    let mut wire = Wire::serve(catch);
    wire.send(get("Connection: upgrade\r\nUpgrade: foo\r\n")).await;
    let offer = taken.recv().await.unwrap();

    std::future::poll_fn(|cx| tower::Service::poll_ready(&mut service, cx)).await.unwrap();
    let response = tower::Service::call(&mut service, offer).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(log.count("foo asked"), 1);

    // The limit is one request, and the permit is still there.
    let ready =
        std::future::poll_fn(|cx| Poll::Ready(tower::Service::poll_ready(&mut service, cx)));
    assert_ready!(ready.await).unwrap();
}

#[test]
fn a_service_need_not_be_clone() {
    struct NotClone;
    impl tower::Service<Req> for NotClone {
        type Response = Res;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Res, BoxError>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Req) -> Self::Future {
            std::future::ready(Ok(Response::new(Full::from("ok"))))
        }
    }
    let mut service = UpgradeLayer::new().layer(NotClone);
    let mut response = task::spawn(tower::Service::call(&mut service, plain()));
    assert_eq!(assert_ready_ok!(response.poll()).status(), 200);
}
