//! Ends that come at an odd moment: while others are told, behind an error, or before the 101.

use std::{
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Layer;
use tower_upgrade::{Connections, Switch, UpgradeLayer, Upgraded};

use crate::support::*;

/// A value that looks at the counts when it is dropped.
#[derive(Clone)]
struct Curious(Connections);

impl Drop for Curious {
    fn drop(&mut self) {
        self.0.active();
    }
}

#[test]
fn an_attached_value_of_a_request_without_a_place_is_dropped_without_the_lock() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let log = Log::default();
            let layer = UpgradeLayer::new()
                .on("foo", echo(&log, "foo"))
                .max_connections(0)
                .attach::<Curious>();
            let curious = Curious(layer.connections());
            let service = layer.layer(inner(&log));
            let service = tower::util::MapRequest::new(service, move |mut request: Request<_>| {
                request.extensions_mut().insert(curious.clone());
                request
            });
            let mut wire = Wire::serve(service);
            wire.send(get(FOO)).await;
            let mut bytes = Vec::new();
            wire.io.read_buf(&mut bytes).await.unwrap();
            done.send(bytes).ok();
        });
    });
    is_done.recv_timeout(Duration::from_secs(10)).expect("deadlock");
}

/// A connection that ends while the others are being told. The waker holds up the drain until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_end_during_a_shutdown_are_counted_as_finished() {
    struct UntilOneHasEnded(Connections);

    impl std::task::Wake for UntilOneHasEnded {
        fn wake(self: Arc<Self>) {
            while self.0.active() > 1 {
                std::thread::yield_now();
            }
        }
    }

    let layer = UpgradeLayer::new().on("foo", |_: Request<Bytes>| {
        future::ready(Switch::to(|io: Upgraded| async move { io.draining().await }))
    });
    let connections = layer.connections();
    let mut wires = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::serve_with_buffer(layer.layer(inner(&Log::default())), 512);
        wire.send(get(FOO)).await;
        wires.push(wire);
    }
    while connections.stats().switched < 2 {
        tokio::task::yield_now().await;
    }
    let waker = std::task::Waker::from(Arc::new(UntilOneHasEnded(connections.clone())));
    let mut told = Box::pin(connections.list()[1].draining());
    assert!(told.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    let shutdown = connections.shutdown(Duration::from_secs(9)).await;
    assert_eq!((shutdown.finished, shutdown.aborted), (2, 0));
}

/// A holder that waits for the drain, in a task of its own.
#[tokio::test(start_paused = true)]
async fn a_holder_that_was_aborted_still_hears_of_a_drain() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo", |_: Request<Bytes>| {
        future::ready(Switch::to(|mut io: Upgraded| async move {
            tokio::spawn(async move {
                io.draining().await;
                io.write_all(b"goodbye").await.ok();
            });
        }))
    });
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(get(FOO)).await.is(&switching("foo"));
    let connections = layer.connections();
    connections.list()[0].abort();
    settle().await;
    let shutdown = connections.shutdown(Duration::from_secs(5)).await;
    assert_eq!((shutdown.remaining, connections.active()), (0, 0));
}

/// F: `draining` of a connection that has ended.
#[tokio::test(start_paused = true)]
async fn draining_of_an_ended_connection_is_ready_after_a_drain() {
    let log = Log::default();
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let layer = UpgradeLayer::new().on("foo", move |_: Request<Bytes>| {
        let keep = Arc::clone(&keep);
        future::ready(Switch::to(move |io: Upgraded| async move {
            *keep.lock().unwrap() = Some(tokio::spawn(io.draining()));
        }))
    });
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(get(FOO)).await.is(&switching("foo")).and_ends();
    layer.connections().shutdown(Duration::from_secs(5)).await;
    let task = kept.lock().unwrap().take().unwrap();
    tokio::time::timeout(Duration::from_secs(60), task).await.expect("a task for ever").unwrap();
}

/// The hand-over takes longer than a connection may be idle, and not longer than the handshake.
#[tokio::test(start_paused = true)]
async fn the_wait_for_the_101_is_no_idleness() {
    let log = Log::default();
    let layer =
        UpgradeLayer::new().on("foo", echo(&log, "foo")).idle_timeout(Duration::from_secs(3));
    let service = layer.layer(inner(&log));
    let service = tower::util::MapFuture::new(service, |response| async move {
        let response = response.await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        response
    });
    let service = UpgradeLayer::outermost().layer(service);
    let mut wire = Wire::serve(service);
    wire.send(get(FOO)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    wire.exchange("hi").await.is(&(switching("foo") + "[hi]")).and_is_open();
}

/// An abort behind the handler's own error.
#[tokio::test(start_paused = true)]
async fn an_abort_behind_a_handlers_error_is_counted() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo", |_: Request<Bytes>| {
        future::ready(Switch::to(|mut io: Upgraded| async move {
            tokio::spawn(async move { io.read_u8().await });
            Err::<(), _>("odd")
        }))
    });
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(get(FOO)).await.is(&switching("foo"));
    let shutdown = layer.connections().shutdown(Duration::from_secs(5)).await;
    let stats = layer.connections().stats();
    assert_eq!((shutdown.aborted, stats.aborted, stats.failed), (1, 1, 1));
}
