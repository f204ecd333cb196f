//! An abort ends a connection wherever it is.

use std::{future, io, time::Duration};

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tower::Layer;
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

use super::open;
use crate::support::*;

const ABORTED: &str = "failed foo Aborted: the connection was aborted, by a shutdown at its deadline or by its handle";

/// A layer whose handler for `foo` runs this, and logs its failures.
fn layer<F, Fut>(log: &Log, run: F) -> UpgradeLayer
where
    F: Fn(Upgraded, Log) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    let (failures, log) = (log.clone(), log.clone());
    UpgradeLayer::new()
        .on("foo", move |_: Request<Bytes>| {
            let (run, log) = (run.clone(), log.clone());
            future::ready(Switch::to(move |io| run(io, log)))
        })
        .on_failure(move |error| failures.push(describe(&error)))
}

/// Logs how a task that waited for the connection went on.
fn logged<T: std::fmt::Debug>(log: &Log, what: &str, result: io::Result<T>) {
    log.push(match result {
        Ok(value) => format!("{what} {value:?}"),
        Err(error) => format!("{what} {:?}", error.kind()),
    });
}

fn read_on(mut reader: ReadHalf<Upgraded>, log: Log) {
    tokio::spawn(async move {
        let read = reader.read_u8().await;
        logged(&log, "read", read);
    });
}

fn write_on(mut writer: WriteHalf<Upgraded>, log: Log) {
    tokio::spawn(async move {
        let written = writer.write_all(&vec![b'x'; 1 << 22]).await;
        logged(&log, "write", written);
    });
}

#[tokio::test(start_paused = true)]
async fn halves_in_other_tasks_fail_and_the_connection_is_closed() {
    // The handler has returned, one half is blocked in a read, and the other in a write to a client that
    // reads nothing.
    for by_handle in [true, false] {
        let log = Log::default();
        let layer = layer(&log, |io, log: Log| async move {
            let (reader, writer) = tokio::io::split(io);
            read_on(reader, log.clone());
            write_on(writer, log);
            Ok(())
        });
        let mut wire = Wire::serve_with_buffer(layer.layer(inner(&log)), 512);
        wire.send(get(FOO)).await;
        settle().await;
        let connections = layer.connections();
        assert_eq!(connections.active(), 1, "after the handler has returned");
        assert_eq!(log.take(), [""; 0]);
        if by_handle {
            connections.list()[0].abort();
            settle().await;
        } else {
            let shutdown = connections.shutdown(Duration::from_secs(10)).await;
            assert_eq!((shutdown.finished, shutdown.aborted, shutdown.remaining), (0, 1, 0));
        }
        wire.receive().await.and_ends();
        let mut events = log.take();
        events.sort();
        assert_eq!(events, [ABORTED, "read ConnectionAborted", "write ConnectionAborted"]);
        let stats = connections.stats();
        assert_eq!((stats.active, stats.aborted, stats.failed, stats.switched), (0, 1, 0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_that_is_kept_without_a_task_does_not_keep_the_connection() {
    // One half is polled, which closes the connection for both.
    let log = Log::default();
    let layer = layer(&log, |io, log: Log| async move {
        let (reader, writer) = tokio::io::split(io);
        read_on(reader, log);
        tokio::spawn(async move {
            future::pending::<()>().await;
            drop(writer);
        });
        Ok(())
    });
    let (mut wire, connection) = open(&layer, "foo").await;
    connection.abort();
    wire.receive().await.and_ends();
    assert_eq!(layer.connections().active(), 0);
    assert_eq!(log.take(), [ABORTED, "read ConnectionAborted"]);
}

#[tokio::test(start_paused = true)]
async fn every_operation_fails_after_an_abort() {
    let log = Log::default();
    let layer = layer(&log, |mut io, log: Log| async move {
        tokio::spawn(async move {
            io.draining().await;
            for _ in 0..2 {
                logged(&log, "read", io.read(&mut [0; 8]).await);
                logged(&log, "write", io.write(b"x").await);
                let bufs = [io::IoSlice::new(b"x"), io::IoSlice::new(b"y")];
                logged(&log, "vectored", io.write_vectored(&bufs).await);
                logged(&log, "flush", io.flush().await);
                logged(&log, "shutdown", io.shutdown().await);
                logged(&log, "close", io.close().await);
            }
            // It says what it was, and goes nowhere.
            assert_eq!((io.protocol().name(), io.is_draining()), ("foo", true));
            assert!(!io.is_write_vectored());
            io.downcast::<tokio::io::DuplexStream>().unwrap_err();
            log.push("done");
        });
        Ok(())
    });
    let (mut wire, connection) = open(&layer, "foo").await;
    // Bytes that have come are not read either.
    wire.send("hello").await;
    connection.drain();
    connection.abort();
    wire.receive().await.and_ends();
    let mut events = log.take();
    assert_eq!(events.pop().unwrap(), "done");
    assert_eq!(events.remove(0), ABORTED, "with the first of them");
    assert_eq!(events.len(), 12, "{events:?}");
    for event in events {
        assert!(event.ends_with(" ConnectionAborted"), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_blocked_operation_is_woken() {
    // A writer whose client reads nothing, in each operation that can block.
    type Operation = fn(Upgraded) -> std::pin::Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
    let operations: [(&str, Operation); 4] = [
        ("write", |mut io| Box::pin(async move { io.write_all(&vec![b'x'; 1 << 16]).await })),
        ("vectored", |mut io| {
            Box::pin(async move {
                loop {
                    let _some = io.write_vectored(&[io::IoSlice::new(&[b'x'; 99])]).await?;
                }
            })
        }),
        ("read", |mut io| Box::pin(async move { io.read_u8().await.map(drop) })),
        ("close", |mut io| {
            Box::pin(async move {
                io.close().await?;
                Err(io::ErrorKind::Other.into())
            })
        }),
    ];
    for (what, operation) in operations {
        let log = Log::default();
        let layer = layer(&log, move |io, log: Log| async move {
            tokio::spawn(async move { logged(&log, "ends", operation(io).await) });
            Ok(())
        });
        let mut wire = Wire::serve_with_buffer(layer.layer(inner(&log)), 300);
        wire.send(get(FOO)).await;
        settle().await;
        assert_eq!(log.take(), [""; 0], "{what} is blocked");
        layer.connections().list()[0].abort();
        // No time passes.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let events = log.take();
        // A client that reads until a FIN takes the abort for the end, as it takes a reset.
        let end = if what == "close" { "ends Other" } else { "ends ConnectionAborted" };
        assert_eq!(events, [ABORTED, end], "{what}");
        assert_eq!(layer.connections().active(), 0, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handlers_error_behind_an_abort_is_counted_once_as_aborted() {
    let log = Log::default();
    let layer = layer(&log, |io, _| async move {
        let (mut reader, writer) = tokio::io::split(io);
        let reads = tokio::spawn(async move { reader.read_u8().await });
        let read = reads.await?;
        drop(writer);
        read.map(drop)
    });
    let (mut wire, connection) = open(&layer, "foo").await;
    connection.abort();
    connection.abort();
    wire.receive().await.and_ends();
    assert_eq!(log.take(), [ABORTED]);
    let stats = layer.connections().stats();
    assert_eq!((stats.aborted, stats.failed), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_draining_is_counted_and_returns_the_place() {
    for abort in [false, true] {
        let log = Log::default();
        let layer = layer(&log, |io, _| async move {
            io.draining().await;
            panic!("as told");
        });
        let (mut wire, connection) = open(&layer, "foo").await;
        let (mut other, _) = open(&layer, "foo").await;
        connection.drain();
        if abort {
            settle().await;
            connection.abort();
        }
        wire.receive().await.and_ends();
        other.receive().await.is("").and_is_open();
        let stats = layer.connections().stats();
        assert_eq!((stats.active, stats.panicked, stats.aborted), (1, 1, 0));
        let shutdown = layer.connections().shutdown(Duration::from_secs(1)).await;
        assert_eq!((shutdown.finished, shutdown.aborted, shutdown.remaining), (1, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_never_polls_is_counted_as_remaining() {
    let log = Log::default();
    let layer = layer(&log, |io, _| async move {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(io);
        });
        Ok(())
    });
    let (mut wire, _) = open(&layer, "foo").await;
    let shutdown = layer.connections().shutdown(Duration::from_secs(10)).await;
    assert_eq!((shutdown.finished, shutdown.aborted, shutdown.remaining), (0, 1, 1));
    wire.receive().await.is("").and_is_open();
    assert_eq!((layer.connections().active(), layer.connections().stats().aborted), (1, 0));
    tokio::time::sleep(Duration::from_secs(60)).await;
    wire.receive().await.and_ends();
    assert_eq!((layer.connections().active(), layer.connections().stats().aborted), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_taken_apart_is_not_reached() {
    let log = Log::default();
    let layer = layer(&log, |io, log: Log| async move {
        let mut io = io.downcast::<tokio::io::DuplexStream>().unwrap().io;
        tokio::spawn(async move { logged(&log, "read", io.read_u8().await) });
        future::pending().await
    });
    let (mut wire, connection) = open(&layer, "foo").await;
    connection.abort();
    settle().await;
    assert_eq!((layer.connections().active(), log.take()), (0, vec![ABORTED.into()]));
    wire.send("x").await;
    settle().await;
    assert_eq!(log.take(), ["read 120"]);
}

/// Hands the connection over to a task that reads and writes by turns, from several places.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_is_lost_on_several_threads() {
    async fn both(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (mut reader, mut writer) = tokio::io::split(io);
        let reads = tokio::spawn(async move { while reader.read(&mut [0; 64]).await.is_ok() {} });
        while writer.write_all(&[b'x'; 64]).await.is_ok() {}
        reads.await.unwrap();
    }

    let layer = UpgradeLayer::new().on("foo", |_: Request<Bytes>| {
        future::ready(Switch::to(|io: Upgraded| async {
            tokio::spawn(both(io));
        }))
    });
    let connections = layer.connections();
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut wire = Wire::serve_with_buffer(layer.layer(inner(&Log::default())), 128);
        wire.send(get(FOO)).await;
        clients.push(tokio::spawn(async move {
            let mut bytes = Vec::new();
            wire.io.read_to_end(&mut bytes).await.unwrap();
        }));
    }
    while connections.stats().switched < 200 {
        tokio::task::yield_now().await;
    }
    for connection in connections.list() {
        tokio::spawn(async move { connection.abort() });
    }
    let shutdown =
        tokio::time::timeout(Duration::from_secs(20), connections.shutdown(Duration::from_secs(9)));
    assert_eq!(shutdown.await.unwrap().aborted, 0, "all had ended before the deadline");
    for client in clients {
        tokio::time::timeout(Duration::from_secs(20), client).await.unwrap().unwrap();
    }
    assert_eq!((connections.active(), connections.stats().aborted), (0, 200));
}
