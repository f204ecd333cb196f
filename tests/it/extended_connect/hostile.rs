//! Layers that discard, mirror or nest the 200 to an extended CONNECT, and clients that leave.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{Layer, ServiceExt, service_fn};
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

use crate::{
    extended_connect::support::{Answer, Client, connect},
    support::*,
};

fn page() -> Response<Full<Bytes>> {
    Response::new(Full::from("a page"))
}

/// A layer outside answers with a page of its own, and drains the body of the response that it discards on a
/// task, as one does to let a connection be used again. No handler may run on the stream: its client got the
/// page's 200.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_drained_behind_another_200_runs_no_handler() {
    let log = Log::default();
    let service = fixture(&log).extended_connect().layer(inner(&log)).map_response(|response| {
        tokio::spawn(response.into_body().collect());
        page()
    });
    Client::serve(service).await.connect("foo").await;
    settle().await;
    assert_eq!(log.count("foo asked"), 1);
    assert_eq!(log.count("foo runs"), 0, "{log:?}");
}

/// The same with a layer around the outermost one, by mistake.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_drained_outside_of_the_outermost_layer_runs_no_handler() {
    let log = Log::default();
    let service = fixture(&log).extended_connect().layer(inner(&log));
    let service = UpgradeLayer::outermost().layer(service).map_response(|response| {
        tokio::spawn(response.into_body().collect());
        page()
    });
    Client::serve(service).await.connect("foo").await;
    settle().await;
    assert_eq!(log.count("foo runs"), 0, "{log:?}");
}

/// Drops a body later, without polling it.
fn drop_later(body: impl Send + 'static) {
    tokio::spawn(async move {
        tokio::task::yield_now().await;
        drop(body);
    });
}

/// Without an outermost layer this escapes notice: a layer that answers another 2xx, and drops the body of
/// ours when hyper has handed over the stream. The documentation of the layer order says so.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_behind_another_200_runs_the_handler_without_an_outermost_layer() {
    let log = Log::default();
    let service = fixture(&log).extended_connect().layer(inner(&log)).map_response(|response| {
        drop_later(response.into_body());
        page()
    });
    Client::serve(service).await.connect("foo").await;
    settle().await;
    assert_eq!(log.count("foo runs"), 1, "{log:?}");
}

/// in HTTP/1.1 the same layer is told apart.
#[tokio::test(start_paused = true)]
async fn a_body_of_a_101_that_is_dropped_later_runs_no_handler() {
    let log = Log::default();
    let service = fixture(&log).layer(inner(&log)).map_response(move |response| {
        drop_later(response.into_body());
        let mut switching = page();
        *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        switching
    });
    Wire::serve(service).exchange(get(FOO)).await;
    assert_eq!((log.count("foo asked"), log.count("foo runs")), (1, 0), "{log:?}");
}

/// The outermost layer's future is alive when hyper drops the body, so that layer could tell.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_later_outside_of_the_outermost_layer_runs_no_handler() {
    let log = Log::default();
    let service = fixture(&log).extended_connect().layer(inner(&log));
    let service = UpgradeLayer::outermost().layer(service).map_response(move |response| {
        drop_later(response.into_body());
        page()
    });
    Client::serve(service).await.connect("foo").await;
    settle().await;
    assert_eq!(log.count("foo runs"), 0, "{log:?}");
}

/// Below an outermost layer a 200 is known by `Upgrade`, which HTTP/2 does not have. A layer may remove it,
/// as one does that makes responses fit for HTTP/2.
async fn without_hop_by_hop_headers(remove: &'static [http::HeaderName]) -> (Answer, Log) {
    let log = Log::default();
    let service =
        fixture(&log).extended_connect().layer(inner(&log)).map_response(move |mut response| {
            for name in remove {
                response.headers_mut().remove(name);
            }
            response
        });
    let answer = Client::serve(UpgradeLayer::outermost().layer(service)).await.connect("foo").await;
    settle().await;
    (answer, log)
}

#[tokio::test(start_paused = true)]
async fn below_an_outermost_layer_no_200_is_sent_that_no_handler_stands_behind() {
    for remove in [&[][..], &[CONNECTION], &[UPGRADE, CONNECTION]] {
        let (answer, log) = without_hop_by_hop_headers(remove).await;
        let runs = log.count("foo runs") == 1;
        assert_eq!(answer.status.is_success(), runs, "{remove:?}: {} {log:?}", answer.status);
    }
}

/// A layer that replaces the 200 by another 2xx, below an outermost layer, which knows that the handshake has
/// lost.
#[tokio::test(start_paused = true)]
async fn below_an_outermost_layer_a_replaced_200_is_no_2xx() {
    for status in [200, 204] {
        let log = Log::default();
        let service = fixture(&log).extended_connect().layer(inner(&log)).map_response(move |_| {
            Response::builder().status(status).body(Full::<Bytes>::default()).unwrap()
        });
        let mut client = Client::serve(UpgradeLayer::outermost().layer(service)).await;
        let answer = client.connect("foo").await;
        settle().await;
        assert_eq!(log.count("foo runs"), 0);
        assert!(!answer.status.is_success(), "{}", answer.status);
    }
}

/// A client that resets its stream before hyper has the response is gone, and no layer has replaced
/// anything. In HTTP/1.1 the kind is `Disconnected`.
#[tokio::test(start_paused = true)]
async fn a_client_that_resets_as_the_200_is_made_is_disconnected() {
    resets_as_the_200_is_made(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_resets_below_an_outermost_layer_is_disconnected() {
    resets_as_the_200_is_made(true).await;
}

async fn resets_as_the_200_is_made(outermost: bool) {
    {
        let log = Log::default();
        let failures = log.clone();
        let ready = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ready);
        let layer = UpgradeLayer::new()
            .on("slow", move |_: Request<Bytes>| {
                let flag = Arc::clone(&flag);
                async move {
                    // Ready when the reset wakes the stream's task.
                    std::future::poll_fn(|_| {
                        if flag.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                    Switch::to(async |_: Upgraded| ())
                }
            })
            .extended_connect()
            .on_failure(move |error| failures.push(describe(&error)));
        let service = layer.layer(inner(&log));
        let mut client = if outermost {
            Client::serve(UpgradeLayer::outermost().layer(service)).await
        } else {
            Client::serve(service).await
        };
        let request = tokio::spawn(client.sending(connect("slow", "/x", &[])));
        settle().await;
        ready.store(true, Relaxed);
        request.abort();
        settle().await;
        let failure = log.take().concat();
        assert!(failure.starts_with("failed slow Disconnected"), "{outermost}: {failure}");
    }
}

/// layers in one another, with the policy on one of them or both, and an outermost layer or none.
#[tokio::test(start_paused = true)]
async fn nested_layers_answer_what_is_theirs() {
    for (outer, within, outermost) in
        [(true, true, true), (true, true, false), (false, true, true), (false, true, false)]
    {
        let log = Log::default();
        let mut around = UpgradeLayer::new().on("a", echo(&log, "a"));
        let mut inside = UpgradeLayer::new().on("b", echo(&log, "b")).on("a", echo(&log, "a2"));
        if outer {
            around = around.extended_connect();
        }
        if within {
            inside = inside.extended_connect();
        }
        let service = around.advertise().layer(inside.layer(inner(&log)));
        let mut client = if outermost {
            Client::serve(UpgradeLayer::outermost().layer(service)).await
        } else {
            Client::serve(service).await
        };
        for (protocol, runs) in [("a", if outer { "a runs" } else { "a2 runs" }), ("b", "b runs")] {
            let mut answer = client.connect(protocol).await;
            answer.is(200, &[]);
            assert_eq!(answer.exchange("NP").await, "[NP]");
            assert_eq!(log.count(runs), 1, "{outer} {within} {outermost}: {log:?}");
            log.take();
        }
    }
}

/// an outer layer asks the inner service, and a layer inside switches by itself.
#[tokio::test(start_paused = true)]
async fn a_layer_inside_of_one_that_asks_switches() {
    for outermost in [false, true] {
        let log = Log::default();
        let inside = UpgradeLayer::new().on("a", echo(&log, "a")).extended_connect();
        let around = UpgradeLayer::new().on_inner("a").extended_connect();
        let connections = (inside.connections(), around.connections());
        let service = around.layer(inside.layer(inner(&log)));
        let mut client = if outermost {
            Client::serve(UpgradeLayer::outermost().layer(service)).await
        } else {
            Client::serve(service).await
        };
        let mut answer = client.connect("a").await;
        assert_eq!(answer.exchange("NP").await, "[NP]");
        assert_eq!((connections.0.active(), connections.1.active()), (1, 0));
        drop(answer);
        settle().await;
        assert_eq!(connections.0.active(), 0);
    }
}

/// the promise was taken by other code, so that polling it again panics inside of `Drop`. The panic
/// is caught, and the place comes back.
#[tokio::test(start_paused = true)]
async fn a_promise_that_others_have_taken_is_a_replaced_response() {
    let log = Log::default();
    let layer = fixture(&log).extended_connect();
    let connections = layer.connections();
    let plain = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::default()))
    });
    let service = layer.layer(plain);
    let twice = service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        async move {
            let (head, _) = request.into_parts();
            let clone = || Request::from_parts(head.clone(), Full::default());
            let late = service.clone().oneshot(clone()).await?;
            tokio::spawn(async move {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                drop(late);
            });
            service.oneshot(clone()).await
        }
    });
    let mut answer = Client::serve(twice).await.connect("foo").await;
    assert_eq!(answer.exchange("NP").await, "[NP]");
    assert_eq!((log.count("foo asked"), log.count("foo runs")), (2, 1), "{log:?}");
    assert_eq!(connections.active(), 1);
}

/// Held, as documented: an inner service that is asked may answer 200, which a client takes for a switch.
#[tokio::test(start_paused = true)]
async fn an_asked_service_without_a_yes_may_open_a_tunnel() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on_inner("foo").extended_connect();
    let connections = layer.connections();
    let answer = Client::serve(layer.layer(inner(&log))).await.connect("foo").await;
    assert_eq!((answer.status.as_u16(), connections.active()), (200, 0));
    assert_eq!(connections.stats().declined.unaccepted, 1);
}
