//! How long connections may live, and be idle.

use std::{future, io, time::Duration};

use bytes::Bytes;
use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::yield_now,
    time::{Instant, advance, sleep, timeout},
};
use tower::Layer;
use tower_upgrade::{Switch, UpgradeHandler, UpgradeLayer, Upgraded};

use super::{deaf, layer, open, polite};
use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);
const EXPIRED: &str = "the connection went on after `max_lifetime` and its grace, and was closed";
const IDLE: &str = "the connection was idle for `idle_timeout` and was closed";

/// Reads until the server closes its side, and returns the bytes and the time that it took.
async fn until_closed(wire: &mut Wire) -> (String, Duration) {
    let (begun, mut text) = (Instant::now(), String::new());
    wire.io.read_to_string(&mut text).await.unwrap();
    (text, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_told_to_end() {
    let log = Log::default();
    let layer = layer(&log).max_lifetime(100 * SECOND);
    let (mut wire, connection) = open(&layer, "polite").await;
    let (text, _) = until_closed(&mut wire).await;
    assert_eq!(text, "goodbye");
    assert!(connection.is_draining());
    // The last tenth is random.
    assert!((90..=100).contains(&connection.age().as_secs()), "{:?}", connection.age());
    assert_eq!(log.take(), [""; 0]);
    assert!(!layer.connections().is_draining());
}

#[tokio::test(start_paused = true)]
async fn lifetimes_differ() {
    let layer = layer(&Log::default()).max_lifetime(1000 * SECOND);
    let mut ages = Vec::new();
    for _ in 0..20 {
        let (mut wire, connection) = open(&layer, "polite").await;
        until_closed(&mut wire).await;
        ages.push(connection.age().as_secs());
    }
    let (least, most) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
    assert!(*least >= 900 && *most <= 1000 && most - least > 20, "{ages:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_end_is_closed_after_a_grace() {
    for grace in [None, Some(7)] {
        let log = Log::default();
        let mut layer = layer(&log).max_lifetime(100 * SECOND);
        if let Some(seconds) = grace {
            layer = layer.lifetime_grace(seconds * SECOND);
        }
        let (mut wire, connection) = open(&layer, "deaf").await;
        connection.draining().await;
        let (text, elapsed) = until_closed(&mut wire).await;
        assert_eq!((text.as_str(), elapsed.as_secs()), ("", grace.unwrap_or(30).into()));
        assert_eq!(log.take(), [format!("failed deaf Expired: {EXPIRED}")]);
        let stats = layer.connections().stats();
        assert_eq!((stats.active, stats.expired, stats.aborted, stats.failed), (0, 1, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_stops_sending_does_not_outlast_a_lifetime() {
    // The handler always has bytes to read, so that it uses up what tokio lets a task do at a time.
    let log = Log::default();
    let layer = layer(&log).max_lifetime(100 * SECOND);
    let (mut wire, connection) = open(&layer, "deaf").await;
    let flood = tokio::spawn(async move { while wire.io.write_all(&[0; 4096]).await.is_ok() {} });
    for expected in [false, true] {
        advance(100 * SECOND).await;
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(connection.read() > 4096);
        assert_eq!((connection.is_draining(), flood.is_finished()), (true, expected));
    }
    assert_eq!(log.take(), [format!("failed deaf Expired: {EXPIRED}")]);
}

#[tokio::test(start_paused = true)]
async fn the_time_goes_on_when_the_handler_has_moved_the_connection() {
    for is_idle in [false, true] {
        let log = Log::default();
        let failures = log.clone();
        let layer = UpgradeLayer::new()
            .on("foo", |_: Request<Bytes>| {
                future::ready(Switch::to(|io| async {
                    tokio::spawn(deaf(io));
                }))
            })
            .on_failure(move |error| failures.push(describe(&error)));
        let layer = if is_idle {
            layer.idle_timeout(100 * SECOND)
        } else {
            layer.max_lifetime(100 * SECOND)
        };
        let (mut wire, connection) = open(&layer, "foo").await;
        until_closed(&mut wire).await;
        let expected = if is_idle { 100..=101 } else { 120..=130 };
        assert!(expected.contains(&connection.age().as_secs()), "{:?}", connection.age());
        let failure = if is_idle { format!("Idle: {IDLE}") } else { format!("Expired: {EXPIRED}") };
        assert_eq!(log.take(), [format!("failed foo {failure}")]);
        // Its task is gone with the connection.
        let (wire, _) = open(&layer, "foo").await;
        drop(wire);
        settle().await;
        assert_eq!(layer.connections().active(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_and_a_switch_have_limits_of_their_own() {
    let of_switch = |_: Request<Bytes>| future::ready(Switch::to(polite).max_lifetime(10 * SECOND));
    let of_layer = |_: Request<Bytes>| future::ready(Switch::to(polite));
    let handler = of_layer.when(|_| true).with_body_limit(5).with_max_lifetime(100 * SECOND);
    assert!(handler.body_limit() == 5 && !handler.is_optional() && !handler.reads_chunked_body());
    let layer = UpgradeLayer::new()
        .on("layer", of_layer)
        .on("handler", handler)
        .on("switch", of_switch)
        .on("both", of_switch.with_max_lifetime(100 * SECOND))
        .max_lifetime(1000 * SECOND);
    for (protocol, age) in [("layer", 1000), ("handler", 100), ("switch", 10), ("both", 10)] {
        let (mut wire, connection) = open(&layer, protocol).await;
        until_closed(&mut wire).await;
        let seconds = connection.age().as_secs();
        assert!((age * 9 / 10..=age).contains(&seconds), "{protocol}: {seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_limits_a_connection_lives_and_is_idle() {
    let day = 24 * 60 * 60 * SECOND;
    let layers = [
        layer(&Log::default()),
        layer(&Log::default()).max_lifetime(Duration::MAX).idle_timeout(Duration::MAX),
        layer(&Log::default()).max_lifetime(day).lifetime_grace(Duration::MAX),
    ];
    for layer in layers {
        let (mut wire, connection) = open(&layer, "deaf").await;
        sleep(26 * 365 * day).await;
        wire.receive().await.is("").and_is_open();
        drop(wire);
        settle().await;
        assert!(layer.connections().get(connection.id()).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let log = Log::default();
    let layer = layer(&log).idle_timeout(10 * SECOND);
    let (mut wire, connection) = open(&layer, "deaf").await;
    until_closed(&mut wire).await;
    assert_eq!(connection.age().as_secs(), 10);
    assert!(!connection.is_draining(), "there is nobody to say goodbye to");
    assert_eq!(log.take(), [format!("failed deaf Idle: {IDLE}")]);
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.idle, stats.aborted, stats.failed), (0, 1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_byte_in_either_direction_is_no_idleness() {
    let layer =
        layer(&Log::default()).idle_timeout(10 * SECOND).on("talks", |_: Request<Bytes>| {
            future::ready(Switch::to(|mut io: Upgraded| async move {
                for _ in 0..5 {
                    sleep(9 * SECOND).await;
                    io.write_all(b"x").await?;
                }
                future::pending::<()>().await;
                io::Result::Ok(())
            }))
        });
    let (mut wire, connection) = open(&layer, "talks").await;
    assert_eq!(until_closed(&mut wire).await.0, "xxxxx");
    assert_eq!(connection.age().as_secs(), 45 + 10);

    let (mut wire, connection) = open(&layer, "deaf").await;
    for _ in 0..5 {
        sleep(9 * SECOND).await;
        wire.send("x").await;
    }
    assert_eq!(connection.read(), 4, "the last byte is on its way");
    let (_, elapsed) = until_closed(&mut wire).await;
    assert_eq!(elapsed.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_read_of_no_byte_is_idleness() {
    let layer = layer(&Log::default()).idle_timeout(10 * SECOND).on("asks", |_: Request<Bytes>| {
        future::ready(Switch::to(|mut io: Upgraded| async move {
            // The client has closed its side.
            while io.read(&mut [0; 16]).await? == 0 {
                sleep(3 * SECOND).await;
            }
            io::Result::Ok(())
        }))
    });
    let (mut wire, connection) = open(&layer, "asks").await;
    wire.io.shutdown().await.unwrap();
    until_closed(&mut wire).await;
    assert_eq!((connection.age().as_secs(), layer.connections().stats().idle), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_blocked_for_too_long_is_idle() {
    // A client that reads nothing, and whose TCP acknowledges for ever.
    let log = Log::default();
    let failures = log.clone();
    let layer = UpgradeLayer::new()
        .on("foo", |_: Request<Bytes>| {
            future::ready(Switch::to(|mut io: Upgraded| async move {
                io.write_all(&vec![b'x'; 1 << 20]).await
            }))
        })
        .idle_timeout(10 * SECOND)
        .on_failure(move |error| failures.push(describe(&error)));
    let mut wire = Wire::serve_with_buffer(layer.layer(inner(&log)), 512);
    wire.send(get(FOO)).await;
    sleep(9 * SECOND).await;
    assert_eq!(layer.connections().active(), 1);
    sleep(2 * SECOND).await;
    assert_eq!(layer.connections().active(), 0);
    assert_eq!(log.take(), [format!("failed foo Idle: {IDLE}")]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_taken_apart_is_never_idle_and_grows_old() {
    let layer = UpgradeLayer::new()
        .on("foo", |_: Request<Bytes>| {
            future::ready(Switch::to(|io: Upgraded| async {
                let _io = io.downcast::<tokio::io::DuplexStream>().unwrap();
                future::pending::<()>().await;
            }))
        })
        .idle_timeout(10 * SECOND)
        .max_lifetime(100 * SECOND);
    let (mut wire, connection) = open(&layer, "foo").await;
    timeout(80 * SECOND, until_closed(&mut wire)).await.unwrap_err();
    until_closed(&mut wire).await;
    assert!((120..=130).contains(&connection.age().as_secs()));
    assert_eq!((layer.connections().stats().expired, layer.connections().stats().idle), (1, 0));
}

#[cfg(feature = "h2c")]
#[tokio::test(start_paused = true)]
async fn an_old_connection_of_h2c_sends_goaway() {
    use crate::h2c::support::{Client, app, http1, layer, offer, preface};

    let log = Log::default();
    let layer = layer(&log).max_lifetime(100 * SECOND);
    let mut client = Client::to(Wire::serve(layer.layer(http1(app(&log)))), log);
    client.upgrade(get(&offer())).await;
    client.exchange(preface()).await;
    sleep(100 * SECOND).await;
    let frames = client.exchange("").await;
    assert_eq!(frames[0], "GOAWAY 2147483647 NO_ERROR");
}
