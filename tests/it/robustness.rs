//! User code that panics, outer layers that misbehave, runtimes that end: the client gets an answer if
//! possible, and every place is returned.

use std::{future, panic, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::io::AsyncReadExt;
use tower::{Layer, ServiceExt};
use tower_http::timeout::TimeoutLayer;
use tower_upgrade::{Switch, UpgradeHandler, UpgradeLayer, Upgraded};

use crate::support::*;

/// Panics when it is dropped, unless that would abort the process.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "as it is dropped");
    }
}

fn stuck() -> Switch {
    Switch::to(|io: Upgraded| async move {
        future::pending::<()>().await;
        drop(io);
    })
}

fn logging(log: &Log, layer: UpgradeLayer) -> UpgradeLayer {
    let failures = log.clone();
    layer.on_failure(move |error| failures.push(describe(&error)))
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_does_not_drop_the_response() {
    let layer = UpgradeLayer::new()
        .on("foo", |_: Request<Bytes>| async { panic::panic_any(7) as Switch })
        .on_failure(|_| panic!("in the callback"));
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    wire.exchange(get(FOO)).await.starts_with("HTTP/1.1 500").and_is_open();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.panicked), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_predicate_that_panics_takes_no_place() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo", echo(&log, "foo").when(|_| panic!("in accepts")));
    Wire::serve(layer.layer(inner(&log))).exchange(get(FOO)).await.is("").and_ends();
    assert_eq!(layer.connections().active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_during_an_abort_is_reported_as_aborted() {
    let log = Log::default();
    let handler = |_: Request<Bytes>| async {
        Switch::to(|io: Upgraded| async move {
            let _bomb = Bomb;
            future::pending::<()>().await;
            drop(io);
        })
    };
    let layer = logging(&log, UpgradeLayer::new().on("foo", handler));
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(get(FOO)).await.is(&switching("foo"));
    layer.connections().shutdown(Duration::ZERO).await;
    assert_eq!(layer.connections().active(), 0);
    assert_eq!(log.count("failed foo Aborted"), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_while_it_is_dropped_unused_is_reported() {
    let log = Log::default();
    let handler = |_: Request<Bytes>| async {
        let bomb = Bomb;
        Switch::to(move |io: Upgraded| async move { drop((bomb, io)) })
    };
    let layer = logging(&log, UpgradeLayer::new().on("foo", handler));
    let service = layer.layer(inner(&log));
    let service = service.map_response(|_| Response::new(Full::<Bytes>::from("no")));
    Wire::serve(service).exchange(get(FOO)).await.ends_with("no");
    assert_eq!(layer.connections().active(), 0);
    assert_eq!(log.count("failed foo"), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outer_layer_that_waits_for_the_connection_too_is_reported() {
    // hyper panics in one of two tasks that wait for the same connection.
    let log = Log::default();
    let upgrade = fixture(&log).layer(inner(&log));
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let on_upgrade = request.extensions().get::<OnUpgrade>().cloned().unwrap();
        tokio::spawn(async move { on_upgrade.await.is_ok() });
        upgrade.clone().oneshot(request)
    });
    let mut wire = Wire::serve(service);
    wire.exchange(get(FOO)).await.is(&switching("foo"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(log.count("foo runs") + log.count("failed foo"), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_while_the_handler_decides_is_reported() {
    let log = Log::default();
    let handler = |_: Request<Bytes>| async { future::pending::<Switch>().await };
    let layer = logging(&log, UpgradeLayer::new().on("foo", handler));
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.send(get(FOO)).await;
    settle().await;
    drop(wire);
    settle().await;
    assert_eq!(log.count("failed foo Disconnected"), 1, "{log:?}");
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.failed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_while_an_outer_layer_has_the_101_is_reported() {
    let log = Log::default();
    let layer = fixture(&log);
    let service = layer.layer(inner(&log)).and_then(|response| async {
        future::pending::<()>().await;
        Ok::<_, std::convert::Infallible>(response)
    });
    let mut wire = Wire::serve(service);
    wire.send(get(FOO)).await;
    settle().await;
    assert_eq!(layer.connections().active(), 1);
    wire.connection.abort();
    settle().await;
    assert_eq!(layer.connections().active(), 0);
    assert_eq!(log.count("failed foo Replaced"), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_may_take_for_ever() {
    let layer = UpgradeLayer::new()
        .on("foo", |_: Request<Bytes>| future::ready(stuck()))
        .handshake_timeout(Duration::MAX);
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    wire.exchange(get(FOO)).await.is(&switching("foo")).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn outer_layers_with_body_types_of_their_own_fit() {
    let log = Log::default();
    let upgrade = fixture(&log).layer(inner(&log));
    let timeout = TimeoutLayer::with_status_code(http::StatusCode::GATEWAY_TIMEOUT, QUIET);
    let mut wire = Wire::serve(timeout.layer(upgrade));
    wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]"));
}

#[test]
fn a_runtime_that_ends_returns_every_place() {
    for decides in [true, false] {
        let layer = UpgradeLayer::new().on("foo", move |_: Request<Bytes>| async move {
            if !decides {
                future::pending::<()>().await;
            }
            stuck()
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let wire = runtime.block_on(async {
            let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
            wire.send(get(FOO)).await;
            settle().await;
            wire
        });
        assert_eq!(layer.connections().active(), 1);
        drop(runtime);
        assert_eq!(layer.connections().active(), 0, "the handler decides: {decides}");
        drop(wire);
    }
}

#[test]
fn after_a_drain_no_connection_is_active_on_any_thread() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    for _ in 0..100 {
        let layer = UpgradeLayer::new().on("foo", |_: Request<Bytes>| async {
            Switch::to(|io: Upgraded| async move { io.draining().await })
        });
        let connections = layer.connections();
        runtime.block_on(async {
            let clients: Vec<_> = (0..16)
                .map(|_| {
                    let layer = layer.clone();
                    tokio::spawn(async move {
                        let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
                        wire.send(get(FOO)).await;
                        wire.io.read_to_end(&mut Vec::new()).await.unwrap();
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            connections.drain();
            connections.drained().await;
            assert_eq!(connections.active(), 0);
            for client in clients {
                client.await.unwrap();
                assert_eq!(connections.active(), 0);
            }
        });
        let stats = connections.stats();
        assert_eq!(stats.switched + stats.drained, 16, "{stats:?}");
    }
}
