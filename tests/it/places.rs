//! Places: each one is returned however an upgrade ends, and their number is limited.

use std::{future, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::io::AsyncReadExt;
use tower::{Layer, ServiceExt};
use tower_upgrade::{
    AtCapacity, Connections, IntoSwitch, Switch, UpgradeHandler, UpgradeLayer, Upgraded,
};

use crate::support::*;

/// A layer whose handler for `foo` takes bodies of up to five bytes and returns this decision.
fn deciding<D, Fut>(decide: impl Fn() -> Fut + Send + Sync + 'static) -> UpgradeLayer
where
    Fut: Future<Output = D> + Send + 'static,
    D: IntoSwitch,
{
    let handler = move |_request: Request<Bytes>| decide();
    UpgradeLayer::new().on("foo", handler.with_body_limit(5))
}

/// Switches, and reads until the client is gone.
async fn reading() -> Switch {
    Switch::to(|mut io: Upgraded| async move {
        while io.read(&mut [0; 16]).await? > 0 {}
        Ok::<_, std::io::Error>(())
    })
}

fn serve(layer: &UpgradeLayer) -> Wire {
    Wire::serve(layer.layer(inner(&Log::default())))
}

#[tokio::test(start_paused = true)]
async fn a_place_is_taken_with_the_request_and_returned_with_the_connection() {
    let layer = deciding(async || {
        future::pending::<()>().await;
        reading().await
    });
    let connections = layer.connections();
    let mut wire = serve(&layer);
    wire.send(get(FOO)).await;
    settle().await;
    assert_eq!(connections.active(), 1, "in its handshake");
    drop(wire);
    settle().await;
    assert_eq!(connections.active(), 0, "the client is gone");

    let layer = deciding(reading);
    let connections = layer.connections();
    let mut wires = [serve(&layer), serve(&layer)];
    for (index, wire) in wires.iter_mut().enumerate() {
        wire.exchange(get("")).await.is(OK);
        assert_eq!(connections.active(), index);
        wire.exchange(get(FOO)).await.is(&switching("foo"));
        assert_eq!(connections.active(), index + 1);
    }
    drop(wires);
    settle().await;
    let stats = connections.stats();
    assert_eq!((stats.active, stats.highest, stats.switched), (0, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_rejects_returns_its_place() {
    let layer = deciding(async || Err::<Switch, _>(StatusCode::FORBIDDEN));
    serve(&layer).exchange(get(FOO)).await.starts_with("HTTP/1.1 403").and_is_open();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.highest, stats.rejected), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_returns_its_place() {
    let layer = deciding(async || -> Switch { panic!("while deciding") });
    serve(&layer).exchange(get(FOO)).await.starts_with("HTTP/1.1 500");
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.panicked), (0, 1));

    let layer = deciding(async || {
        Switch::to(|io: Upgraded| async move {
            assert!(io.is_draining(), "on the connection");
        })
    });
    serve(&layer).exchange(get(FOO)).await.is(&switching("foo")).and_ends();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.switched, stats.panicked), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_returns_the_place() {
    let layer = deciding(reading);
    let mut wire = serve(&layer);
    wire.send(post(&format!("{FOO}Content-Length: 5\r\n"), "hell")).await;
    settle().await;
    assert_eq!(layer.connections().active(), 1);
    tokio::io::AsyncWriteExt::shutdown(&mut wire.io).await.unwrap();
    wire.receive().await.starts_with("HTTP/1.1 400").and_ends();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.failed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_during_the_101_returns_the_place() {
    for bytes in 1..100 {
        let layer = deciding(reading);
        let mut wire = Wire::serve_with_buffer(layer.layer(inner(&Log::default())), bytes);
        wire.send(get(FOO)).await;
        settle().await;
        assert_eq!(layer.connections().active(), 1);
        drop(wire.io);
        settle().await;
        let stats = layer.connections().stats();
        assert_eq!((stats.active, stats.switched, stats.failed), (0, 0, 1), "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_101_that_is_replaced_returns_the_place() {
    let layer = deciding(reading);
    let service = layer.layer(inner(&Log::default()));
    let service = service.map_response(|_| http::Response::new(String::from("no")));
    Wire::serve(service).exchange(get(FOO)).await.ends_with("no").and_is_open();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.failed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_another_task_keeps_its_place_until_it_is_dropped() {
    let layer = deciding(async || {
        Switch::to(|mut io: Upgraded| async move {
            tokio::spawn(async move { while io.read(&mut [0; 16]).await.unwrap() > 0 {} });
        })
    });
    let mut wire = serve(&layer);
    wire.exchange(get(FOO)).await.is(&switching("foo")).and_is_open();
    assert_eq!(layer.connections().active(), 1);
    drop(wire);
    settle().await;
    assert_eq!(layer.connections().active(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_more_than_the_limit_gets_a_503_until_a_place_is_free() {
    // KES-08 and case 14 of those that no peer tests.
    let layer = deciding(reading).max_connections(2);
    let first = serve(&layer);
    let mut wires = [first, serve(&layer), serve(&layer)];
    for wire in &mut wires[..2] {
        wire.exchange(get(FOO)).await.is(&switching("foo"));
    }
    let rejection =
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    wires[2].exchange(get(FOO)).await.is(rejection).and_is_open();
    wires[2].exchange(get("")).await.is(OK).and_is_open();
    let [first, _second, mut third] = wires;
    drop(first);
    settle().await;
    third.exchange(get(FOO)).await.is(&switching("foo"));
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.highest, stats.switched, stats.at_capacity), (2, 2, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_503_to_a_request_with_an_unread_body_closes() {
    // R9110-10.1.1-08, S-1: the rest of the body is never read as anything else.
    let layer = deciding(reading).max_connections(0);
    let bytes = post(&format!("{FOO}Content-Length: 5\r\n"), "hello") + &get("");
    let rejection = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
                   content-length: 0\r\n\r\n";
    serve(&layer).exchange(bytes).await.is(rejection).and_ends();
}

#[tokio::test(start_paused = true)]
async fn one_more_than_the_limit_can_be_forwarded() {
    let layer = deciding(reading).max_connections(0).at_capacity(AtCapacity::Forward);
    let mut wire = serve(&layer);
    wire.exchange(get(FOO)).await.is(OK).and_is_open();
    let bytes = post(&format!("{FOO}Content-Length: 5\r\n"), "hello");
    wire.exchange(bytes).await.is(OK).and_is_open();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.declined.capacity, stats.at_capacity), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn layers_can_share_their_places_and_layers_have_their_own() {
    let shared = Connections::new();
    let one = deciding(reading).with_connections(shared.clone()).max_connections(1);
    let other = deciding(reading).with_connections(shared.clone()).max_connections(1);
    let own = deciding(reading).max_connections(1);
    let mut wires = [serve(&one), serve(&other), serve(&own), serve(&one.clone())];
    wires[0].exchange(get(FOO)).await.is(&switching("foo"));
    wires[1].exchange(get(FOO)).await.starts_with("HTTP/1.1 503");
    wires[2].exchange(get(FOO)).await.is(&switching("foo"));
    wires[3].exchange(get(FOO)).await.starts_with("HTTP/1.1 503");
    assert_eq!((shared.active(), own.connections().active()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_late_body_gets_a_408_that_closes() {
    let layer = deciding(reading).handshake_timeout(Duration::from_secs(30));
    let mut wire = serve(&layer);
    wire.send(post(&format!("{FOO}Content-Length: 5\r\n"), "hell")).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(layer.connections().active(), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let expected = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    wire.receive().await.is(expected).and_ends();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.timed_out, stats.failed), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_late_handler_is_a_503_and_the_connection_stays_open() {
    // The default is ten seconds.
    let layer = deciding(async || {
        tokio::time::sleep(Duration::from_secs(11)).await;
        reading().await
    });
    let mut wire = serve(&layer);
    wire.send(get(FOO)).await;
    tokio::time::sleep(Duration::from_millis(9_999)).await;
    assert_eq!(layer.connections().active(), 1);
    let expected = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    wire.receive().await.is(expected).and_is_open();
    wire.exchange(get("")).await.is(OK).and_is_open();
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.timed_out), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_busy_all_the_time_is_late_too() {
    // It uses up what tokio lets a task do at a time, which timers count for as well.
    let layer = deciding(async || {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            tokio::task::coop::consume_budget().await;
        }
        reading().await
    });
    let mut wire = serve(&layer);
    wire.send(get(FOO)).await;
    for late in [9, 2] {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(layer.connections().active(), 1);
        tokio::time::advance(Duration::from_secs(late)).await;
    }
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(layer.connections().stats().timed_out, 1);
    wire.receive().await.starts_with("HTTP/1.1 503").and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_101_loses_its_place() {
    let log = Log::default();
    let failures = log.clone();
    let layer = deciding(reading).on_failure(move |error| failures.push(describe(&error)));
    let mut wire = Wire::serve_with_buffer(layer.layer(inner(&log)), 16);
    wire.send(get(FOO)).await;
    settle().await;
    assert_eq!(layer.connections().active(), 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.timed_out, stats.switched), (0, 1, 0));
    assert_eq!(
        log.take(),
        [
            "failed foo TimedOut: the handshake took longer than `handshake_timeout`: deadline has elapsed"
        ]
    );
    // The client gets the rest of its 101, and then EOF.
    wire.receive().await.is(&switching("foo")).and_ends();
}

#[tokio::test(start_paused = true)]
async fn a_switched_connection_has_no_deadline() {
    let layer = deciding(reading);
    let mut wire = serve(&layer);
    wire.exchange(get(FOO)).await.is(&switching("foo"));
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    wire.exchange("still here").await.and_is_open();
    assert_eq!(layer.connections().active(), 1);
}

#[tokio::test(start_paused = true)]
async fn declined_requests_are_counted_by_their_reason() {
    let layer = deciding(reading).on("bar", reading_for.when(|_| false));
    let offers = [
        ("Upgrade: foo\r\n", 1),
        ("Connection: upgrade\r\nUpgrade: foo;\r\n", 2),
        ("Connection: upgrade\r\nUpgrade: nope\r\n", 3),
        ("Connection: upgrade\r\nUpgrade: foo\r\nContent-Length: 6\r\n", 4),
        ("Connection: upgrade\r\nUpgrade: bar\r\n", 5),
        ("", 0),
    ];
    for (headers, times) in offers {
        for _ in 0..times {
            let body = if headers.contains("Length") { "sixsix" } else { "" };
            serve(&layer).exchange(get(headers) + body).await.is(OK);
        }
    }
    serve(&layer).exchange(request("TRACE /x HTTP/1.1", FOO)).await.starts_with("HTTP/1.1 200");
    // Not an offer.
    serve(&layer).exchange(request("GET /x HTTP/1.0", "")).await.starts_with("HTTP/1.0 200");
    let declined = layer.connections().stats().declined;
    let counts = [
        declined.request,
        declined.connection,
        declined.upgrade,
        declined.unregistered,
        declined.body,
        declined.unaccepted,
        declined.capacity,
    ];
    assert_eq!(counts, [1, 1, 2, 3, 4, 5, 0]);
}

async fn reading_for(_request: Request<Bytes>) -> Switch {
    reading().await
}
