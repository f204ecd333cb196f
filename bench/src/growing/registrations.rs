//! Requests to layers that have more and more registrations, origins and subprotocols.
//!
//! The name of a count is what grows, how far it has grown, and which request it is.

use bytes::Bytes;
use http::Request;
use tokio::io::DuplexStream;
use tower_upgrade::{
    Switch, UpgradeLayer, Upgraded,
    websocket::{Origins, WebSocket},
};

use crate::{
    headers::list,
    meter::count,
    pipes::{ask, bare, runtime, server, settle},
};

pub(crate) fn run() {
    for count in [1, 10, 100] {
        for kind in ["exact", "version", "any version", "inner service"] {
            offers(kind, count);
        }
    }
    for count in [1, 10, 100, 1000] {
        origins(count);
    }
    for count in [1, 10, 100] {
        subprotocols(count);
    }
}

fn offers(kind: &str, registrations: usize) {
    let layer = (0..registrations).fold(UpgradeLayer::new(), |layer, at| match kind {
        "exact" => layer.on(&name(at), end),
        "version" => layer.on(&format!("{}/1", name(at)), end),
        "any version" => layer.on(&format!("{}/*", name(at)), end),
        _ => layer.on_inner(&name(at)),
    });
    let version = if kind.contains("version") { "/1" } else { "" };
    let offer = |names: &str| request(&format!("Connection: upgrade\r\nUpgrade: {names}\r\n"));
    let taken = if kind == "inner service" { "200" } else { "101" };
    let (first, last) = (name(0) + version, name(registrations - 1) + version);
    let many: Vec<String> = (100..164).map(|at| name(at) + version).collect();
    for (what, request, status) in [
        ("no offer", request(""), "200"),
        ("the first", offer(&first), taken),
        ("the last", offer(&last), taken),
        ("another", offer(&(name(999) + version)), "200"),
        ("64 others", offer(&many.join(", ")), "200"),
    ] {
        requests(&format!("{kind}/{registrations}/{what}"), Some(&layer), &request, status);
    }
}

fn origins(entries: usize) {
    let list = (0..entries).map(|at| format!("https://{}.test", name(at)));
    let websocket = WebSocket::new(async |_io, _agreed| {}).origins(Origins::list(list));
    let layer = UpgradeLayer::new().on("websocket", websocket);
    let origin = |name: String| websocket_request(&format!("Origin: https://{name}.test\r\n"));
    for (what, request, status) in [
        ("no origin", websocket_request(""), "101"),
        ("the first", origin(name(0)), "101"),
        ("the last", origin(name(entries - 1)), "101"),
        ("another", origin("x-other-name".into()), "403"),
    ] {
        requests(&format!("origins/{entries}/{what}"), Some(&layer), &request, status);
    }
}

fn subprotocols(known: usize) {
    let names = (0..known).map(name);
    let websocket = WebSocket::new(async |_io, _agreed| {}).subprotocols(names);
    let layer = UpgradeLayer::new().on("websocket", websocket);
    let offer = |names: &str| websocket_request(&format!("Sec-WebSocket-Protocol: {names}\r\n"));
    for (what, request) in [
        ("no offer", websocket_request("")),
        ("the last", offer(&name(known - 1))),
        ("another", offer(&name(999))),
        ("64 others", offer(&list(64, 64 * 14))),
    ] {
        requests(&format!("subprotocols/{known}/{what}"), Some(&layer), &request, "101");
    }
}

/// Counts requests, each on a connection of its own.
pub(crate) fn requests(what: &str, layer: Option<&UpgradeLayer>, request: &str, status: &str) {
    match layer {
        Some(layer) => requests_to(&server(layer), what, request, status),
        None => requests_to(&bare(), what, request, status),
    }
}

fn requests_to(serve: &impl Fn(DuplexStream), what: &str, request: &str, status: &str) {
    let runtime = runtime();
    let once = async || {
        let (client, answer) = ask(serve, request.as_bytes(), 1024 * 1024).await;
        assert_eq!(answer.get(9..12), Some(status), "{what}: {answer}");
        drop(client);
        settle().await;
    };
    runtime.block_on(once());
    count(what, REQUESTS, || {
        runtime.block_on(async {
            for _ in 0..REQUESTS {
                once().await;
            }
        });
    });
}

/// A request with these header lines.
pub(crate) fn request(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n")
}

pub(crate) fn websocket_request(lines: &str) -> String {
    request(&format!(
        "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}"
    ))
}

/// All are of one length, and differ at their ends.
fn name(at: usize) -> String {
    format!("protocol-{at:03}")
}

pub(crate) async fn end(_: Request<Bytes>) -> Switch {
    Switch::to(async |_: Upgraded| {})
}

/// How often each request is sent.
const REQUESTS: usize = 8;
