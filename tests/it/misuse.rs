//! Layers and services that misbehave: clones, copies and replays of requests and responses.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_upgrade::{
    BoxError, UpgradeLayer,
    websocket::{Offer, Origins},
};

use crate::support::*;

type Answer = Response<Full<Bytes>>;

const WS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test(start_paused = true)]
async fn a_token_in_a_request_of_another_connection_switches_nothing_there() {
    let log = Log::default();
    let upgrade = fixture(&log).layer(inner(&log));
    let kept = Arc::new(Mutex::new(None::<http::Extensions>));
    let service =
        UpgradeLayer::outermost().layer(service_fn(move |mut request: Request<Incoming>| {
            let (upgrade, kept) = (upgrade.clone(), kept.clone());
            async move {
                if request.uri().path() == "/a" {
                    let mut own = request.extensions().clone();
                    own.remove::<OnUpgrade>();
                    *kept.lock().unwrap() = Some(own);
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    // An inner service's own 101.
                    let response = Response::builder().status(101).header("upgrade", "foo");
                    return Ok(response
                        .header("connection", "upgrade")
                        .body(Full::from(""))
                        .unwrap());
                }
                let kept = kept.lock().unwrap().clone().unwrap();
                request.extensions_mut().extend(kept);
                drop(upgrade.oneshot(request).await?);
                let response = Response::builder().status(500).header(header::CONNECTION, "close");
                Ok::<_, BoxError>(response.body(Full::<Bytes>::from("sorry")).unwrap())
            }
        }));
    let mut a = Wire::serve(service.clone());
    let mut b = Wire::serve(service);
    a.send(request("GET /a HTTP/1.1", FOO)).await;
    settle().await;
    b.send(request("GET /b HTTP/1.1", "Connection: upgrade, close\r\nUpgrade: foo\r\n") + "early")
        .await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let received = b.receive().await;
    assert!(!received.text.contains('['), "{received:?} {log:?}");
}

#[tokio::test(start_paused = true)]
async fn another_status_has_the_last_word_over_two_answers_too() {
    let log = Log::default();
    let seen = log.clone();
    let layer = UpgradeLayer::new().on_inner("websocket").max_connections(1);
    let inner = service_fn(move |request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        for _ in 0..2 {
            let offer = Offer::from_head(&head, &Origins::same_host()).unwrap();
            let run = echo_run(&seen, "ws");
            drop::<Answer>(offer.switch(move |io, _| run(io)).into_response());
        }
        async {
            let response = Response::builder().status(403).body(Full::from("no"));
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let received = Wire::serve(layer.layer(inner)).exchange(get(WS)).await;
    received.starts_with("HTTP/1.1 403");
}

#[tokio::test(start_paused = true)]
async fn a_yes_that_is_replayed_to_another_request_is_no_101() {
    let log = Log::default();
    let seen = log.clone();
    let layer = UpgradeLayer::new().on_inner("websocket");
    let cache = Arc::new(Mutex::new(None::<http::HeaderMap>));
    let inner = service_fn(move |request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        let mut cache = cache.lock().unwrap();
        let answer = if let Some(headers) = &*cache {
            let mut response = Response::new(Full::default());
            (*response.status_mut(), *response.headers_mut()) =
                (StatusCode::SWITCHING_PROTOCOLS, headers.clone());
            response
        } else {
            let offer = Offer::from_head(&head, &Origins::same_host()).unwrap();
            let run = echo_run(&seen, "ws");
            let answer: Answer = offer.switch(move |io, _| run(io)).into_response();
            *cache = Some(answer.headers().clone());
            answer
        };
        async { Ok::<_, Infallible>(answer) }
    });
    let service = UpgradeLayer::outermost().layer(layer.layer(inner));
    Wire::serve(service.clone()).exchange(get(WS)).await.starts_with("HTTP/1.1 101");
    let received = Wire::serve(service).exchange(get(WS)).await;
    assert!(!received.text.starts_with("HTTP/1.1 101"), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn an_offer_of_another_protocol_is_no_websocket() {
    let log = Log::default();
    let seen = log.clone();
    let layer = UpgradeLayer::new().on_inner("websocket").on_inner("foo");
    let inner = service_fn(move |request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        let answer: Answer = match Offer::from_head(&head, &Origins::same_host()) {
            Ok(offer) => {
                let run = echo_run(&seen, "ws");
                offer.switch(move |io, _| run(io)).into_response()
            }
            Err(_) => Answer::new(Full::from("no")),
        };
        async { Ok::<_, Infallible>(answer) }
    });
    let lines = WS.replace("websocket", "foo");
    let received = Wire::serve(layer.layer(inner)).exchange(get(&lines)).await;
    assert!(!received.text.starts_with("HTTP/1.1 101"), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn a_101_leaves_in_http_1_1() {
    let log = Log::default();
    let service = ServiceBuilder::new()
        .layer(UpgradeLayer::outermost())
        .map_response(|mut r: Response<_>| {
            *r.version_mut() = http::Version::HTTP_10;
            r
        })
        .layer(fixture(&log))
        .service(inner(&log));
    let received = Wire::serve(service).exchange(get(FOO) + "NP").await;
    assert!(!received.text.starts_with("HTTP/1.0 101"), "{received:?}");
}
