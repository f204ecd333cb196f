//! Incidents of proxies and clients that took another answer for a switch, tried on this server.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_upgrade::{Switch, UpgradeLayer};

use crate::support::*;

fn serve(log: &Log, layer: &UpgradeLayer) -> Wire {
    Wire::serve(layer.layer(inner(log)))
}

/// S-5, S-7, S-10, S-27: Varnish, httpd, Envoy and `HAProxy` took a 426, another error or a 200 for a switch,
/// and the next request went past them. After any answer but a 101, the bytes behind the request are the
/// next request.
#[tokio::test(start_paused = true)]
async fn no_answer_but_the_101_is_a_switch() {
    for status in [200, 302, 400, 401, 404, 426, 500, 503] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on("foo", move |_: Request<Bytes>| async move {
            Err::<Switch, _>(StatusCode::from_u16(status).unwrap())
        });
        for layer in [layer.clone(), layer.clone().required(), layer.advertise()] {
            let mut wire = serve(&log, &layer);
            let received = wire.exchange(get(FOO) + &get("")).await;
            received.starts_with(&format!("HTTP/1.1 {status} ")).and_is_open();
            assert_eq!(received.text.matches("HTTP/1.1 ").count(), 2, "{received:?}");
        }
    }
}

/// S-8: Kubernetes kept the connection of an upgrade that its backend had answered with an error, with its
/// own credentials. Here the handler's rejection is the answer to one request, and the next is decided anew.
#[tokio::test(start_paused = true)]
async fn a_rejection_gives_nothing_to_the_next_request() {
    let log = Log::default();
    let runs = log.clone();
    let layer = UpgradeLayer::new().on("foo", move |request: Request<Bytes>| {
        let switch = Switch::to(echo_run(&runs, "foo"));
        let authorized = request.headers().contains_key("authorization");
        std::future::ready(authorized.then_some(switch).ok_or(StatusCode::UNAUTHORIZED))
    });
    let mut wire = serve(&log, &layer);
    for _ in 0..2 {
        wire.exchange(get(FOO)).await.starts_with("HTTP/1.1 401 ").and_is_open();
        let authorized = get("Authorization: Basic YTpi\r\n");
        wire.exchange(authorized).await.is(OK).and_is_open();
    }
    assert_eq!(log.count("foo runs"), 0);
}

/// S-9: Kubernetes followed a redirect that answered an upgrade. Here it is the client's.
#[tokio::test(start_paused = true)]
async fn a_redirect_in_place_of_the_101_is_sent_to_the_client() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo", async |_: Request<Bytes>| {
        let response = Response::builder().status(307).header("location", "http://evil.test/");
        Err::<Switch, _>(response.body(Full::<Bytes>::default()).unwrap())
    });
    let received = serve(&log, &layer).exchange(get(FOO)).await;
    received.starts_with("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://evil.test/\r\n");
    assert_eq!(log.take(), [""; 0]);
}

/// S-26: Traefik sent a request again whose connection had been switched. A retry sees the 101, and a
/// request that it sends again all the same is refused.
#[tokio::test(start_paused = true)]
async fn a_layer_that_retries_sees_the_101_and_cannot_switch_twice() {
    for retries_a_101 in [false, true] {
        let log = Log::default();
        let plain = service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        });
        let upgrade = fixture(&log).layer(plain);
        let retry = service_fn(move |request: Request<hyper::body::Incoming>| {
            let upgrade = upgrade.clone();
            async move {
                let (head, _) = request.into_parts();
                let clone = || Request::from_parts(head.clone(), Full::default());
                let response = upgrade.clone().oneshot(clone()).await?;
                if response.status().is_success() || !retries_a_101 {
                    return Ok::<_, Infallible>(response);
                }
                upgrade.oneshot(clone()).await
            }
        });
        let mut wire = Wire::serve(UpgradeLayer::outermost().layer(retry));
        let received = wire.exchange(get(FOO) + "NP").await;
        if retries_a_101 {
            received.starts_with("HTTP/1.1 503 ");
            assert_eq!((log.count("foo asked"), log.count("foo runs")), (2, 0));
        } else {
            received.is(&(switching("foo") + "[NP]"));
        }
    }
}
