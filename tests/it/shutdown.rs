//! Shutdown: drain, wait, and abort at the deadline.

use std::{future, time::Duration};

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_test::{assert_pending, assert_ready, task};
use tower::Layer;
use tower_upgrade::{AtCapacity, Connections, Switch, UpgradeLayer, Upgraded};

use crate::support::*;

/// The response to an offer during a drain.
const REFUSAL: &str =
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A layer with handlers that send `goodbye` at a drain, that send it late, and that never end.
fn layer(log: &Log) -> UpgradeLayer {
    let failures = log.clone();
    UpgradeLayer::new()
        .on("polite", polite(Duration::ZERO))
        .on("late", polite(Duration::from_secs(20)))
        .on("stuck", |_request: Request<Bytes>| async {
            Switch::to(|io: Upgraded| async move {
                future::pending::<()>().await;
                drop(io);
            })
        })
        .on("slow", |_request: Request<Bytes>| async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Switch::to(|io: Upgraded| goodbye(io, Duration::ZERO))
        })
        .on_failure(move |error| failures.push(describe(&error)))
}

fn polite(
    after: Duration,
) -> impl Fn(Request<Bytes>) -> future::Ready<Switch> + Send + Sync + 'static {
    move |_request| future::ready(Switch::to(move |io: Upgraded| goodbye(io, after)))
}

async fn goodbye(mut io: Upgraded, after: Duration) -> std::io::Result<()> {
    io.draining().await;
    assert!(io.is_draining());
    tokio::time::sleep(after).await;
    io.write_all(b"goodbye").await
}

async fn connect_to(layer: &UpgradeLayer, protocol: &str) -> Wire {
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    let headers = format!("{CU}Upgrade: {protocol}\r\n");
    wire.exchange(get(&headers)).await.is(&switching(protocol)).and_is_open();
    wire
}

#[tokio::test(start_paused = true)]
async fn a_drain_tells_handlers_and_waits_for_them() {
    // Case 13 of those that no peer tests.
    let log = Log::default();
    let layer = layer(&log);
    let mut wires = [connect_to(&layer, "polite").await, connect_to(&layer, "late").await];
    let connections = layer.connections();
    let mut drained = task::spawn(connections.drained());
    assert_pending!(drained.poll());

    connections.drain();
    wires[0].receive().await.is("goodbye").and_ends();
    assert_pending!(drained.poll());
    tokio::time::sleep(Duration::from_secs(20)).await;
    wires[1].receive().await.is("goodbye").and_ends();
    assert!(drained.is_woken());
    assert_ready!(drained.poll());
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn offers_during_a_drain_get_a_503_and_plain_requests_are_served() {
    let layer = layer(&Log::default());
    let mut wires = [(); 4].map(|()| Wire::serve(layer.layer(inner(&Log::default()))));
    for wire in &mut wires {
        wire.exchange(get("")).await.is(OK).and_is_open();
    }
    layer.connections().drain();
    let offer = format!("{CU}Upgrade: polite\r\n");
    wires[0].exchange(get(&offer)).await.is(REFUSAL).and_ends();
    // Nothing after the 503 is read, as HTTP or as anything else.
    wires[1].exchange(get(&offer) + &get("")).await.is(REFUSAL).and_ends();
    wires[2].exchange(get("")).await.is(OK).and_is_open();
    wires[3].exchange(get(&format!("{CU}Upgrade: nope\r\n"))).await.is(OK).and_is_open();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.drained, stats.switched), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_has_begun_goes_on() {
    let layer = layer(&Log::default());
    let connections = layer.connections();
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    wire.send(get(&format!("{CU}Upgrade: slow\r\n"))).await;
    settle().await;
    let mut shutdown = task::spawn(connections.shutdown(Duration::from_secs(30)));
    assert_pending!(shutdown.poll());
    tokio::time::sleep(Duration::from_secs(5)).await;
    wire.receive().await.is(&(switching("slow") + "goodbye")).and_ends();
    assert!(shutdown.is_woken());
    let shutdown = assert_ready!(shutdown.poll());
    assert_eq!((shutdown.finished, shutdown.aborted), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_open_at_the_deadline_are_aborted() {
    let log = Log::default();
    let layer = layer(&log);
    let mut wires = [
        connect_to(&layer, "polite").await,
        connect_to(&layer, "stuck").await,
        connect_to(&layer, "late").await,
        connect_to(&layer, "stuck").await,
    ];
    let begun = tokio::time::Instant::now();
    let shutdown = layer.connections().shutdown(Duration::from_secs(10)).await;
    assert_eq!((shutdown.finished, shutdown.aborted), (1, 3));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    for (wire, text) in wires.iter_mut().zip(["goodbye", "", "", ""]) {
        wire.receive().await.is(text).and_ends();
    }
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.aborted, stats.failed, stats.switched), (0, 3, 0, 4));
    let left = "failed stuck Aborted: the connection was aborted, by a shutdown at its deadline or by its handle";
    assert_eq!(log.count(left), 2);
    assert_eq!(log.count("failed late Aborted"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_pending_at_the_deadline_is_a_503_that_closes() {
    let log = Log::default();
    let layer = layer(&log);
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.send(get(&format!("{CU}Upgrade: slow\r\n"))).await;
    settle().await;
    let shutdown = layer.connections().shutdown(Duration::from_secs(1)).await;
    assert_eq!((shutdown.finished, shutdown.aborted), (0, 1));
    wire.receive().await.is(REFUSAL).and_ends();
    assert_eq!(log.count("failed slow Aborted"), 1);
    assert_eq!(layer.connections().active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_zero_aborts_at_once() {
    let layer = layer(&Log::default());
    let mut wire = connect_to(&layer, "polite").await;
    let begun = tokio::time::Instant::now();
    let shutdown = layer.connections().shutdown(Duration::ZERO).await;
    assert!(begun.elapsed() < Duration::from_millis(10));
    assert_eq!(shutdown.finished + shutdown.aborted, 1);
    wire.receive().await.and_ends();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_aborted_is_waited_for_one_second_longer() {
    let layer = UpgradeLayer::new().on("foo", |_request: Request<Bytes>| async {
        Switch::to(|io: Upgraded| async move {
            tokio::spawn(async move {
                future::pending::<()>().await;
                drop(io);
            });
        })
    });
    let _wire = connect_to(&layer, "foo").await;
    let begun = tokio::time::Instant::now();
    let shutdown = layer.connections().shutdown(Duration::from_secs(10)).await;
    assert_eq!((shutdown.finished, shutdown.aborted), (0, 1));
    assert_eq!(begun.elapsed(), Duration::from_secs(11));
    assert_eq!(layer.connections().active(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_connections_a_shutdown_returns_at_once() {
    for twice in [false, true] {
        let connections = Connections::new();
        if twice {
            connections.drain();
            connections.drain();
        }
        let begun = tokio::time::Instant::now();
        let shutdown = connections.shutdown(Duration::from_secs(10)).await;
        assert_eq!((shutdown.finished, shutdown.aborted), (0, 0));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        connections.drained().await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_drain_no_handler_is_told() {
    let layer = layer(&Log::default());
    let connections = layer.connections();
    let mut waits = (task::spawn(connections.draining()), task::spawn(connections.drained()));
    assert!(!connections.is_draining());
    settle().await;
    assert_pending!(waits.0.poll());
    assert_pending!(waits.1.poll());
    connections.drain();
    assert!(connections.is_draining());
    assert_ready!(waits.0.poll());
    assert_ready!(waits.1.poll());
}

#[tokio::test(start_paused = true)]
async fn shutdowns_at_the_same_time_agree() {
    let layer = layer(&Log::default());
    let _wires = [connect_to(&layer, "polite").await, connect_to(&layer, "stuck").await];
    let connections = layer.connections();
    let deadline = Duration::from_secs(10);
    let (one, other) = tokio::join!(connections.shutdown(deadline), connections.shutdown(deadline));
    assert_eq!((one.finished, one.aborted), (1, 1));
    assert_eq!(one, other);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_aborts_no_connection() {
    let layer = layer(&Log::default());
    let mut wire = connect_to(&layer, "stuck").await;
    let connections = layer.connections();
    let shutdown = connections.shutdown(Duration::from_secs(10));
    tokio::time::timeout(Duration::from_secs(1), shutdown).await.unwrap_err();
    assert!(connections.is_draining());
    tokio::time::sleep(Duration::from_secs(60)).await;
    wire.receive().await.is("").and_is_open();
    assert_eq!(connections.active(), 1);
}

#[tokio::test(start_paused = true)]
async fn connections_outlive_the_layer_and_every_handle() {
    let log = Log::default();
    let layer = layer(&log);
    let mut wire = connect_to(&layer, "polite").await;
    drop(layer);
    // No handle is left that could drain, so the handler is never told.
    wire.receive().await.is("").and_is_open();
    drop(wire);
    settle().await;

    let layer = self::layer(&log);
    let mut wire = connect_to(&layer, "polite").await;
    let connections = layer.connections();
    drop(layer);
    connections.drain();
    drop(connections);
    wire.receive().await.is("goodbye").and_ends();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_is_no_longer_waited_for() {
    let layer = UpgradeLayer::new().on("foo", |_request: Request<Bytes>| async {
        Switch::to(|mut io: Upgraded| async move { io.read(&mut [0; 1]).await.map(drop) })
    });
    let wire = connect_to(&layer, "foo").await;
    let connections = layer.connections();
    let mut shutdown = task::spawn(connections.shutdown(Duration::from_secs(10)));
    assert_pending!(shutdown.poll());
    drop(wire);
    let shutdown = shutdown.await;
    assert_eq!((shutdown.finished, shutdown.aborted), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_one_shutdown_aborts_does_not_count_as_finished_for_another() {
    let layer = layer(&Log::default());
    let _wire = connect_to(&layer, "stuck").await;
    let connections = layer.connections();
    let (one, other) = tokio::join!(
        connections.shutdown(Duration::from_secs(1)),
        connections.shutdown(Duration::from_secs(30)),
    );
    assert_eq!((one.finished, one.aborted), (0, 1));
    assert_eq!((other.finished, other.aborted), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_pending_read() {
    // KES-10
    let log = Log::default();
    let failures = log.clone();
    let layer = UpgradeLayer::new()
        .on("foo", |_request: Request<Bytes>| async {
            Switch::to(|mut io: Upgraded| async move {
                let draining = io.draining();
                let mut byte = [0];
                tokio::select! {
                    read = io.read(&mut byte) => read.map(drop),
                    () = draining => io.shutdown().await,
                }
            })
        })
        .on_failure(move |error| failures.push(describe(&error)));
    let mut wire = connect_to(&layer, "foo").await;
    layer.connections().drain();
    wire.receive().await.is("").and_ends();
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_503_even_if_a_full_layer_would_forward() {
    let layer = layer(&Log::default()).at_capacity(AtCapacity::Forward).max_connections(0);
    let offer = get(&format!("{CU}Upgrade: polite\r\n"));
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    wire.exchange(&offer).await.is(OK).and_is_open();
    layer.connections().drain();
    wire.exchange(&offer).await.is(REFUSAL).and_ends();
}
