//! A drain that is spread over a time.

use std::{collections::HashSet, future, time::Duration};

use bytes::Bytes;
use http::Request;
use tokio::time::{Instant, sleep, timeout};
use tokio_test::{assert_pending, assert_ready, task};
use tower_upgrade::{Connections, Switch, UpgradeLayer, Upgraded};

use super::open;
use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// A layer whose handler logs when it was told, and ends or does not.
fn layer(log: &Log) -> UpgradeLayer {
    let handler = |log: Log, ends: bool| {
        move |_: Request<Bytes>| {
            let log = log.clone();
            future::ready(Switch::to(move |io: Upgraded| async move {
                io.draining().await;
                log.push(io.connection().id().to_string());
                if !ends {
                    future::pending::<()>().await;
                }
            }))
        }
    };
    UpgradeLayer::new()
        .on("ends", handler(log.clone(), true))
        .on("stays", handler(log.clone(), false))
}

/// Opens connections, and forgets what was logged.
async fn open_many(layer: &UpgradeLayer, protocol: &str, connections: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..connections {
        wires.push(open(layer, protocol).await.0);
    }
    wires
}

/// The ids that are told in each second.
async fn seconds(log: &Log, seconds: usize) -> Vec<Vec<String>> {
    let mut told = Vec::new();
    // Off the seconds, so that the moment of the clock is not that of a connection.
    sleep(SECOND / 1000).await;
    for _ in 0..seconds {
        sleep(SECOND).await;
        told.push(log.take());
    }
    told
}

#[tokio::test(start_paused = true)]
async fn each_second_hears_about_as_many_and_each_connection_once() {
    let log = Log::default();
    let layer = layer(&log);
    let _wires = open_many(&layer, "stays", 100).await;
    let connections = layer.connections();
    let draining = tokio::spawn(connections.drain_over(5 * SECOND));
    // It is in effect, and the server hears at once.
    assert!(connections.is_draining());
    assert_ready!(task::spawn(connections.draining()).poll());
    let told = seconds(&log, 5).await;
    for second in &told {
        assert!((19..=21).contains(&second.len()), "{told:?}");
    }
    assert!(draining.is_finished());
    let mut ids: Vec<u64> = told.concat().iter().map(|id| id.parse().unwrap()).collect();
    assert!(!ids.is_sorted(), "in random order");
    ids.sort_unstable();
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
    sleep(10 * SECOND).await;
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_order_is_another_each_time() {
    let mut orders = HashSet::new();
    for _ in 0..5 {
        let log = Log::default();
        let layer = layer(&log);
        let _wires = open_many(&layer, "stays", 20).await;
        layer.connections().drain_over(SECOND).await;
        settle().await;
        orders.insert(log.take());
    }
    assert!(orders.len() > 1);
}

#[tokio::test(start_paused = true)]
async fn new_upgrades_are_refused_when_it_is_called() {
    let layer = layer(&Log::default());
    let mut wire = Wire::serve(tower::Layer::layer(&layer, inner(&Log::default())));
    let draining = layer.connections().drain_over(60 * SECOND);
    wire.exchange(get(&format!("{CU}Upgrade: ends\r\n")))
        .await
        .starts_with("HTTP/1.1 503")
        .and_ends();
    assert_eq!(layer.connections().stats().drained, 1);
    drop(draining);
}

#[tokio::test(start_paused = true)]
async fn if_the_future_is_dropped_the_rest_hear_at_once() {
    for polled in [false, true] {
        let log = Log::default();
        let layer = layer(&log);
        let _wires = open_many(&layer, "stays", 10).await;
        let draining = layer.connections().drain_over(10 * SECOND);
        let told = if polled {
            timeout(3 * SECOND + SECOND / 2, draining).await.unwrap_err();
            4
        } else {
            settle().await;
            assert_eq!(log.count(""), 0);
            drop(draining);
            0
        };
        settle().await;
        let ids = log.take();
        assert_eq!(ids.len(), 10, "{told} were told before");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_during_a_spread_one_tells_the_rest_at_once() {
    let log = Log::default();
    let layer = layer(&log);
    let _wires = open_many(&layer, "stays", 10).await;
    let draining = tokio::spawn(layer.connections().drain_over(100 * SECOND));
    settle().await;
    assert_eq!(log.take().len(), 1);
    layer.connections().drain();
    settle().await;
    assert_eq!(log.take().len(), 9);
    draining.await.unwrap();
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_spread_shutdown_returns_with_the_last_connection() {
    let log = Log::default();
    let layer = layer(&log);
    let _wires = open_many(&layer, "ends", 10).await;
    let begun = Instant::now();
    let shutdown = layer.connections().shutdown_over(10 * SECOND, 60 * SECOND).await;
    assert_eq!((shutdown.finished, shutdown.aborted, shutdown.remaining), (10, 0, 0));
    assert_eq!(begun.elapsed().as_secs(), 9);
    // All connections leave by themselves, before they are told.
    let layer = self::layer(&log);
    let wires = open_many(&layer, "ends", 3).await;
    let begun = Instant::now();
    let connections = layer.connections();
    let shutdown =
        tokio::spawn(async move { connections.shutdown_over(60 * SECOND, 90 * SECOND).await });
    settle().await;
    for connection in layer.connections().list() {
        connection.drain();
    }
    drop(wires);
    assert_eq!(shutdown.await.unwrap().finished, 3);
    assert!(begun.elapsed() < 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_within_the_spread_aborts_the_rest() {
    let log = Log::default();
    let layer = layer(&log);
    let _wires = open_many(&layer, "ends", 10).await;
    let begun = Instant::now();
    let shutdown = layer.connections().shutdown_over(10 * SECOND, 3 * SECOND + SECOND / 2).await;
    assert_eq!((shutdown.finished, shutdown.aborted, shutdown.remaining), (4, 6, 0));
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_joins_a_spread_drain() {
    let log = Log::default();
    let layer = layer(&log);
    let _wires = open_many(&layer, "ends", 10).await;
    let connections = layer.connections();
    let draining = tokio::spawn(connections.drain_over(10 * SECOND));
    let begun = Instant::now();
    let shutdown = connections.shutdown(60 * SECOND).await;
    assert_eq!((shutdown.finished, shutdown.aborted), (10, 0));
    assert_eq!(begun.elapsed().as_secs(), 9);
    draining.await.unwrap();

    // If the spread drain is dropped, the shutdown goes on with all told.
    let layer = self::layer(&log);
    let _wires = open_many(&layer, "ends", 10).await;
    let draining = tokio::spawn(layer.connections().drain_over(10 * SECOND));
    let mut shutdown = task::spawn(async { layer.connections().shutdown(60 * SECOND).await });
    assert_pending!(shutdown.poll());
    draining.abort();
    let begun = Instant::now();
    assert_eq!(shutdown.await.finished, 10);
    assert!(begun.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_spread_of_no_time_and_one_of_nobody_end_at_once() {
    let log = Log::default();
    let layer = layer(&log);
    let _wires = open_many(&layer, "stays", 10).await;
    let begun = Instant::now();
    layer.connections().drain_over(Duration::ZERO).await;
    // Nobody is left who was not told.
    layer.connections().drain_over(60 * SECOND).await;
    Connections::new().drain_over(Duration::MAX).await;
    assert!(begun.elapsed() < SECOND);
    settle().await;
    assert_eq!(log.take().len(), 10);
}

#[cfg(feature = "h2c")]
#[tokio::test(start_paused = true)]
async fn connections_of_h2c_take_part() {
    use crate::h2c::support::{Client, app, http1, layer, offer, preface};

    let log = Log::default();
    let layer = layer(&log);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let wire = Wire::serve(tower::Layer::layer(&layer, http1(app(&log))));
        let mut client = Client::to(wire, Log::default());
        client.upgrade(get(&offer())).await;
        client.exchange(preface()).await;
        clients.push(client);
    }
    let connections = layer.connections();
    let draining = tokio::spawn(connections.drain_over(100 * SECOND));
    sleep(45 * SECOND).await;
    // Those that were told have ended, but for the last.
    let untold = connections.list().iter().filter(|it| !it.is_draining()).count();
    assert_eq!(untold, 5);
    let mut told = 0;
    for client in &mut clients {
        let frames = client.exchange("").await;
        told += usize::from(frames.iter().any(|frame| frame.starts_with("GOAWAY")));
    }
    // The client reads for a second each.
    assert!((5..=7).contains(&told), "{told}");
    draining.await.unwrap();
}
