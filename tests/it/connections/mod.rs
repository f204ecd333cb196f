//! Handles of connections: who is there, and ending one.

mod abort;
mod corners;
mod keys;
mod spread;
mod time;

use std::{future, io, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Layer;
use tower_upgrade::{Connection, Connections, Switch, UpgradeLayer, Upgraded};

use crate::support::*;

/// Says goodbye when it is told to.
async fn polite(mut io: Upgraded) -> io::Result<()> {
    io.draining().await;
    assert!(io.is_draining() && io.connection().is_draining());
    io.write_all(b"goodbye").await
}

/// Reads until the client is gone, whatever it is told.
async fn deaf(mut io: Upgraded) -> io::Result<()> {
    while io.read(&mut [0; 16]).await? > 0 {}
    Ok(())
}

/// A layer with both, and with a handler that decides late.
fn layer(log: &Log) -> UpgradeLayer {
    let failures = log.clone();
    UpgradeLayer::new()
        .on("polite", |_: Request<Bytes>| future::ready(Switch::to(polite)))
        .on("deaf", |_: Request<Bytes>| future::ready(Switch::to(deaf)))
        .on("slow", |_: Request<Bytes>| async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Switch::to(polite)
        })
        .on_failure(move |error| failures.push(describe(&error)))
}

/// Opens a connection, and returns the client's end and the handle of the connection.
async fn open(layer: &UpgradeLayer, protocol: &str) -> (Wire, Connection) {
    let before: Vec<u64> = layer.connections().list().iter().map(Connection::id).collect();
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    let headers = format!("{CU}Upgrade: {protocol}\r\n");
    wire.exchange(get(&headers)).await.is(&switching(protocol)).and_is_open();
    let mut listed = layer.connections().list();
    listed.retain(|connection| !before.contains(&connection.id()));
    assert_eq!(listed.len(), 1);
    (wire, listed.remove(0))
}

fn ids(connections: &Connections) -> Vec<u64> {
    let mut ids: Vec<u64> = connections.list().iter().map(Connection::id).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(start_paused = true)]
async fn a_handle_says_who_is_there() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo/*", echo(&log, "foo"));
    let connections = layer.connections();
    assert!(connections.list().is_empty());
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    let offer = request("POST /a/b?c HTTP/1.1", &format!("{CU}Upgrade: foo/1\r\n"));
    wire.exchange(offer).await.is(&switching("foo/1"));
    let connection = connections.list().remove(0);
    assert_eq!(connection.protocol().to_string(), "foo/1");
    assert_eq!((connection.method().as_str(), connection.path()), ("POST", "/a/b"));
    assert_eq!((connection.read(), connection.written()), (0, 0));
    wire.exchange("hello").await.is("[hello]");
    // The bytes are counted live.
    assert_eq!((connection.read(), connection.written()), (5, 7));
    let age = connection.age();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(connection.age(), age + Duration::from_secs(10));
    assert!(!connection.is_draining());
    let other = connections.get(connection.id()).unwrap();
    assert_eq!((other.id(), other.read()), (connection.id(), 5));
    assert!(connections.get(connection.id() + 1).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_connections_that_have_ended_are_counted() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo/*", echo(&log, "foo"));
    let connections = layer.connections();
    let mut total = (0, 0);
    for bytes in ["hello", "good morning"] {
        let mut wire = Wire::serve(layer.layer(inner(&log)));
        wire.exchange(get(FOO)).await.is(&switching("foo"));
        wire.exchange(bytes).await.is(&format!("[{bytes}]"));
        let stats = connections.stats();
        assert_eq!((stats.read, stats.written), total, "it has not ended");
        drop(wire);
        settle().await;
        total = (total.0 + bytes.len() as u64, total.1 + bytes.len() as u64 + 2);
        let stats = connections.stats();
        assert_eq!((stats.read, stats.written), total);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_fill_a_buffer_piece_by_piece_are_counted_once() {
    let layer = UpgradeLayer::new().on("foo", |_: Request<Bytes>| {
        future::ready(Switch::to(|mut io: Upgraded| async move {
            io.read_exact(&mut [0; 10]).await?;
            future::pending::<io::Result<()>>().await
        }))
    });
    let (mut wire, connection) = open(&layer, "foo").await;
    for count in 1..=10 {
        wire.send("x").await;
        settle().await;
        assert_eq!(connection.read(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_are_listed_from_their_handshake_until_they_have_ended() {
    let layer = layer(&Log::default());
    let connections = layer.connections();
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    wire.send(get(&format!("{CU}Upgrade: slow\r\n"))).await;
    settle().await;
    assert_eq!(ids(&connections), [0]);
    let (polite, _) = open(&layer, "polite").await;
    let (deaf, _) = open(&layer, "deaf").await;
    assert_eq!(ids(&connections), [0, 1, 2]);
    drop(deaf);
    settle().await;
    assert_eq!(ids(&connections), [0, 1]);
    // The first moves the last to its place in the list.
    let (deaf, connection) = open(&layer, "deaf").await;
    assert_eq!(connection.id(), 3, "an id is never used again");
    drop(wire);
    settle().await;
    assert_eq!(ids(&connections), [1, 3]);
    drop(deaf);
    settle().await;
    assert_eq!(ids(&connections), [1]);
    drop(polite);
    connections.drain();
    settle().await;
    assert!(connections.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_without_a_place_get_no_id() {
    let layer = layer(&Log::default()).max_connections(1);
    let (_wire, first) = open(&layer, "deaf").await;
    let offer = get(&format!("{CU}Upgrade: deaf\r\n"));
    let mut full = Wire::serve(layer.layer(inner(&Log::default())));
    full.exchange(&offer).await.starts_with("HTTP/1.1 503");
    first.abort();
    settle().await;
    full.exchange(&offer).await.is(&switching("deaf"));
    assert_eq!(ids(&layer.connections()), [first.id() + 1]);
}

#[tokio::test(start_paused = true)]
async fn of_a_long_path_only_the_start_is_kept() {
    for (path, kept) in [
        ("/".to_owned() + &"x".repeat(300), "/".to_owned() + &"x".repeat(255)),
        // Two bytes for each letter, so that the limit is inside of one.
        ("/".to_owned() + &"é".repeat(200), "/".to_owned() + &"é".repeat(127)),
        ("/".to_owned() + &"x".repeat(255), "/".to_owned() + &"x".repeat(255)),
    ] {
        let layer = layer(&Log::default());
        let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
        let offer = request(&format!("GET {path}?q HTTP/1.1"), &format!("{CU}Upgrade: deaf\r\n"));
        wire.exchange(offer).await.is(&switching("deaf"));
        assert_eq!(layer.connections().list()[0].path(), kept);
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_is_drained_and_the_others_are_not() {
    let log = Log::default();
    let layer = layer(&log);
    let (mut wire, connection) = open(&layer, "polite").await;
    let (mut other, other_connection) = open(&layer, "polite").await;
    let mut told = tokio_test::task::spawn(connection.draining());
    tokio_test::assert_pending!(told.poll());
    connection.drain();
    tokio_test::assert_ready!(told.poll());
    wire.receive().await.is("goodbye").and_ends();
    other.receive().await.is("").and_is_open();
    assert!(!other_connection.is_draining() && !layer.connections().is_draining());
    // New ones are taken.
    let (mut wire, _) = open(&layer, "polite").await;
    // A drain of all is heard by those that are left.
    layer.connections().drain();
    wire.receive().await.is("goodbye").and_ends();
    other.receive().await.is("goodbye").and_ends();
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_drained_goes_on() {
    let layer = layer(&Log::default());
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    wire.send(get(&format!("{CU}Upgrade: slow\r\n"))).await;
    settle().await;
    layer.connections().list()[0].drain();
    tokio::time::sleep(Duration::from_secs(5)).await;
    wire.receive().await.is(&(switching("slow") + "goodbye")).and_ends();
}

#[tokio::test(start_paused = true)]
async fn one_connection_is_aborted_and_the_others_are_not() {
    let log = Log::default();
    let layer = layer(&log);
    let (mut wire, connection) = open(&layer, "deaf").await;
    let (mut other, _) = open(&layer, "deaf").await;
    connection.abort();
    wire.receive().await.is("").and_ends();
    other.receive().await.is("").and_is_open();
    let failure = "failed deaf Aborted: the connection was aborted, by a shutdown at its deadline or by its \
                   handle";
    assert_eq!(log.take(), [failure]);
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.switched, stats.aborted, stats.failed), (1, 2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_aborted_gets_a_503() {
    let log = Log::default();
    let layer = layer(&log);
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    wire.send(get(&format!("{CU}Upgrade: slow\r\n"))).await;
    settle().await;
    layer.connections().list()[0].abort();
    wire.receive().await.starts_with("HTTP/1.1 503").and_ends();
    assert_eq!((log.count("failed slow Aborted"), layer.connections().stats().aborted), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_a_connection_that_has_ended_does_nothing() {
    let log = Log::default();
    let layer = layer(&log);
    let (wire, gone) = open(&layer, "deaf").await;
    let draining = gone.draining();
    drop(wire);
    settle().await;
    let (mut other, _) = open(&layer, "deaf").await;
    for handle in [gone.clone(), gone] {
        assert!(layer.connections().get(handle.id()).is_none());
        handle.drain();
        handle.abort();
        assert!(!handle.is_draining());
        assert_eq!((handle.protocol().name(), handle.path()), ("deaf", "/x"));
    }
    // Somebody may wait for it on a task of its own.
    tokio_test::assert_ready!(tokio_test::task::spawn(draining).poll());
    other.receive().await.is("").and_is_open();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.aborted, stats.failed), (1, 0, 0));
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_delays_no_drain_and_keeps_no_place() {
    let layer = layer(&Log::default()).max_connections(1);
    let (wire, handle) = open(&layer, "deaf").await;
    let draining = handle.draining();
    drop(wire);
    settle().await;
    assert_eq!(layer.connections().active(), 0);
    layer.connections().drain();
    layer.connections().drained().await;
    drop((handle, draining));
}

/// Counts how often it is dropped, with its clones.
#[derive(Clone)]
struct Value(Log, &'static str);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.push(format!("dropped {}", self.1));
    }
}

#[tokio::test(start_paused = true)]
async fn values_are_attached_by_type() {
    let log = Log::default();
    let layer = layer(&Log::default()).attach::<u8>().attach::<&'static str>().attach::<Value>();
    let service = layer.layer(inner(&Log::default()));
    let value = Value(log.clone(), "outer");
    let service = tower::util::MapRequest::new(service, move |mut request: Request<_>| {
        request.extensions_mut().insert(7_u8);
        request.extensions_mut().insert(8_u16);
        request.extensions_mut().insert(value.clone());
        request
    });
    let mut wire = Wire::serve(service);
    wire.exchange(get(&format!("{CU}Upgrade: deaf\r\n"))).await.is(&switching("deaf"));
    let connection = layer.connections().list().remove(0);
    assert_eq!((connection.get::<u8>(), connection.get::<u16>()), (Some(7), None));
    assert_eq!(connection.get::<&'static str>(), None, "the request has none");
    assert_eq!(connection.insert(9_u8), Some(7));
    assert_eq!(connection.insert(String::from("user")), None);
    let same = layer.connections().list().remove(0);
    assert_eq!((same.get::<u8>(), same.get::<String>().as_deref()), (Some(9), Some("user")));
    drop(connection.insert(Value(log.clone(), "handler")));
    drop((wire, connection));
    settle().await;
    log.take();
    drop(same);
    assert_eq!(log.take(), ["dropped handler"], "the last handle drops what is attached");
}

#[tokio::test(start_paused = true)]
async fn with_on_inner_the_values_are_those_of_the_request() {
    let layer = UpgradeLayer::new().on_inner("foo").attach::<u8>();
    let service = tower::service_fn(|mut request: Request<_>| async move {
        let _: &hyper::body::Incoming = request.body();
        request.extensions_mut().insert(9_u8);
        let switch = Switch::to(|io: Upgraded| async move {
            io.connection().insert('x');
            deaf(io).await
        });
        Ok::<_, std::convert::Infallible>(switch.into_response::<http_body_util::Full<Bytes>>())
    });
    let service = tower::util::MapRequest::new(layer.layer(service), |mut request: Request<_>| {
        request.extensions_mut().insert(7_u8);
        request
    });
    let mut wire = Wire::serve(service);
    wire.exchange(get(FOO)).await.is(&switching("foo"));
    let connection = layer.connections().list().remove(0);
    assert_eq!((connection.get::<u8>(), connection.get::<char>()), (Some(7), Some('x')));
    assert_eq!((connection.path(), connection.protocol().name()), ("/x", "foo"));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_is_gone_from_the_list() {
    let layer = UpgradeLayer::new()
        .on("foo", |_: Request<Bytes>| async { Err::<Switch, _>(StatusCode::FORBIDDEN) });
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    wire.exchange(get(FOO)).await.starts_with("HTTP/1.1 403");
    assert!(layer.connections().list().is_empty());
}
