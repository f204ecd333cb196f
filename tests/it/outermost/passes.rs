//! An outermost layer lets these through: other layers, other responses, every type.

use std::{convert::Infallible, future, time::Duration};

use axum::{Router, body::Body as AxumBody, routing::any};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::timeout::ResponseBodyTimeoutLayer;
use tower_upgrade::{Switch, UpgradeHandler, UpgradeLayer, Upgraded};

use super::{Boxed, assert_not_run, boxed, offer, under};
use crate::support::*;

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
