//! Limits by key: at most so many connections for an address, or for a user.

use std::{collections::HashMap, future, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, request};
use http_body_util::Full;
use tower::{Layer, util::MapRequest};
use tower_upgrade::{AtCapacity, Switch, UpgradeLayer};

use super::{deaf, polite};
use crate::support::*;

/// The user in the header `x-user`.
fn user(head: &request::Parts) -> Option<String> {
    Some(head.headers.get("x-user")?.to_str().ok()?.to_owned())
}

fn layer() -> UpgradeLayer {
    UpgradeLayer::new().on("foo", |_: Request<Bytes>| future::ready(Switch::to(deaf)))
}

fn of(user: &str) -> String {
    get(&format!("{FOO}X-User: {user}\r\n"))
}

fn serve(layer: &UpgradeLayer) -> Wire {
    Wire::serve(layer.layer(inner(&Log::default())))
}

/// The response above the limit.
const TOO_MANY: &str =
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn one_more_than_the_limit_of_a_key_gets_a_429() {
    let layer = layer().max_connections_per(user, 2);
    let mut wires = [(); 6].map(|()| serve(&layer));
    for (wire, user) in wires.iter_mut().zip(["ann", "ann", "bob", "bob"]) {
        wire.exchange(of(user)).await.is(&switching("foo"));
    }
    wires[4].exchange(of("ann")).await.is(TOO_MANY).and_is_open();
    // Without a key there is no limit, and the connection goes on in HTTP/1.1 after a 429.
    wires[4].exchange(get(FOO)).await.is(&switching("foo"));
    wires[5].exchange(of("cid")).await.is(&switching("foo"));
    let stats = layer.connections().stats();
    assert_eq!((stats.active, stats.at_key_capacity, stats.at_capacity), (6, 1, 0));
    // A place that is returned is free for the same key.
    let mut more = serve(&layer);
    more.exchange(of("bob")).await.is(TOO_MANY);
    drop(wires);
    settle().await;
    more.exchange(of("bob")).await.is(&switching("foo"));
}

#[tokio::test(start_paused = true)]
async fn a_body_behind_a_429_is_not_read_as_a_request() {
    let layer = layer().max_connections_per(|_| Some(()), 0);
    let handler = tower_upgrade::UpgradeHandler::with_body_limit(
        |_: Request<Bytes>| future::ready(Switch::to(deaf)),
        5,
    );
    let layer = layer.on("bar", handler);
    let offer = post(&format!("{CU}Upgrade: bar\r\nContent-Length: 5\r\n"), "hello");
    serve(&layer).exchange(offer).await.starts_with("HTTP/1.1 429").and_ends();
}

#[tokio::test(start_paused = true)]
async fn above_the_limit_a_request_is_forwarded_if_the_layer_says_so() {
    let layer = layer().max_connections_per(user, 1).at_capacity(AtCapacity::Forward);
    let mut wires = [serve(&layer), serve(&layer)];
    wires[0].exchange(of("ann")).await.is(&switching("foo"));
    wires[1].exchange(of("ann")).await.is(OK).and_is_open();
    let stats = layer.connections().stats();
    assert_eq!((stats.at_key_capacity, stats.declined.capacity), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn during_a_drain_the_answer_is_that_of_the_drain() {
    let layer = layer().max_connections_per(user, 0);
    serve(&layer).exchange(of("ann")).await.is(TOO_MANY);
    layer.connections().drain();
    serve(&layer).exchange(of("ann")).await.starts_with("HTTP/1.1 503").and_ends();
}

#[tokio::test(start_paused = true)]
async fn several_limits_hold_together_and_with_the_total() {
    let path = |head: &request::Parts| Some(head.uri.path().to_owned());
    let layer =
        layer().max_connections_per(user, 1).max_connections_per(path, 2).max_connections(3);
    let offer = |path: &str, user: &str| {
        request(&format!("GET {path} HTTP/1.1"), &format!("{FOO}X-User: {user}\r\n"))
    };
    let mut wires = Vec::new();
    for (path, user, answer) in [
        ("/a", "ann", "101"),
        ("/b", "ann", "429"),
        ("/a", "bob", "101"),
        // The place of the first limit is not kept if the second has none.
        ("/a", "cid", "429"),
        ("/b", "cid", "101"),
        ("/b", "dan", "503"),
        ("/b", "dan", "503"),
    ] {
        let mut wire = serve(&layer);
        wire.exchange(offer(path, user)).await.starts_with(&format!("HTTP/1.1 {answer}"));
        wires.push(wire);
    }
    drop(wires);
    settle().await;
    serve(&layer).exchange(offer("/b", "dan")).await.is(&switching("foo"));
}

#[tokio::test(start_paused = true)]
async fn clones_of_a_layer_share_the_counts_and_other_layers_do_not() {
    let one = layer().max_connections_per(user, 1);
    let clone = one.clone().handshake_timeout(Duration::from_secs(1));
    let other = layer().with_connections(one.connections()).max_connections_per(user, 1);
    let mut wires = [serve(&one), serve(&clone), serve(&other)];
    wires[0].exchange(of("ann")).await.is(&switching("foo"));
    wires[1].exchange(of("ann")).await.is(TOO_MANY);
    wires[2].exchange(of("ann")).await.is(&switching("foo"));
}

#[tokio::test(start_paused = true)]
async fn with_on_inner_a_place_is_taken_by_the_yes() {
    let layer = UpgradeLayer::new().on_inner("foo").max_connections_per(user, 1);
    let service = tower::service_fn(|request: Request<_>| async move {
        let _: &hyper::body::Incoming = request.body();
        Ok::<_, std::convert::Infallible>(match request.uri().path() {
            "/x" => Switch::to(deaf).into_response::<Full<Bytes>>(),
            _ => http::Response::new(Full::from("ok")),
        })
    });
    // The inner service may do anything with the head.
    let service = MapRequest::new(service, |mut request: Request<_>| {
        request.headers_mut().remove("x-user");
        request
    });
    let service = layer.layer(service);
    let mut wires = [(); 3].map(|()| Wire::serve(service.clone()));
    let page = of("ann").replace("/x", "/page");
    wires[0].exchange(&page).await.is(OK);
    wires[0].exchange(of("ann")).await.is(&switching("foo"));
    wires[1].exchange(&page).await.is(OK);
    wires[1].exchange(of("ann")).await.is(TOO_MANY).and_is_open();
    wires[2].exchange(of("bob")).await.is(&switching("foo"));
    assert_eq!(layer.connections().stats().at_key_capacity, 1);
}

#[tokio::test(start_paused = true)]
async fn every_way_out_returns_the_place_of_a_key() {
    let handler = |request: Request<Bytes>| async move {
        match request.uri().path() {
            "/reject" => Err(StatusCode::FORBIDDEN),
            "/panic" => panic!("as asked"),
            "/later" => Ok(Switch::to(|io| async move { assert!(io.is_draining(), "as told") })),
            "/moved" => Ok(Switch::to(|io| async {
                tokio::spawn(deaf(io));
            })),
            "/late" => future::pending().await,
            _ => Ok(Switch::to(polite)),
        }
    };
    let layer = UpgradeLayer::new()
        .on("foo", handler)
        .max_connections_per(|_| Some('k'), 1)
        .handshake_timeout(Duration::from_secs(10));
    let mut answers = HashMap::new();
    for path in ["/reject", "/panic", "/later", "/moved", "/late", "/polite"].repeat(3) {
        let mut wire = serve(&layer);
        let offer = request(&format!("GET {path} HTTP/1.1"), FOO);
        let received = wire.exchange(&offer).await;
        for connection in layer.connections().list() {
            match path {
                "/polite" => connection.drain(),
                "/moved" => connection.abort(),
                _ => tokio::time::sleep(Duration::from_secs(10)).await,
            }
        }
        settle().await;
        assert_eq!(layer.connections().active(), 0, "{path}");
        answers.insert(path, received.text.get(9..12).map(str::to_owned));
    }
    assert_eq!(layer.connections().stats().at_key_capacity, 0, "{answers:?}");
    assert_eq!(answers["/moved"].as_deref(), Some("101"));
}
