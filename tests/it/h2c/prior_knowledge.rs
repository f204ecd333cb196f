//! HTTP/2 from its first byte, where there is no `Upgrade` (RFC 9113 §8.2.2).

use hyper::{server::conn::http2, upgrade::OnUpgrade};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tower::{Layer, Service, ServiceExt};
use tower_upgrade::UpgradeLayer;

use super::support::*;
use crate::support::*;

/// A client of an HTTP/2 server with a layer around the app.
fn connect() -> Client {
    let log = Log::default();
    let layer =
        UpgradeLayer::new().on("foo", echo(&log, "foo")).on("websocket", echo(&log, "websocket"));
    let seen = log.clone();
    let inner = http1(app(&log));
    let service = layer.layer(tower::service_fn(move |request: http::Request<_>| {
        if request.extensions().get::<OnUpgrade>().is_some() {
            let protocol = request.extensions().get::<hyper::ext::Protocol>();
            seen.push(format!("upgradable to {:?}", protocol.map(hyper::ext::Protocol::as_str)));
        }
        inner.clone().call(request)
    }));
    let (client, server) = tokio::io::duplex(1 << 16);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.enable_connect_protocol();
    let service = TowerToHyperService::new(service.boxed_clone());
    Client::to(Wire::of(client, builder.serve_connection(TokioIo::new(server), service)), log)
}

#[tokio::test(start_paused = true)]
async fn headers_of_the_connection_are_a_malformed_request() {
    // P-29, R9113-8.2.2-01, R9113-8.2.2-02
    for (name, value) in [("upgrade", "foo"), ("connection", "upgrade")] {
        let mut client = connect();
        client.exchange(preface()).await;
        let field = named_literal(0, name.as_bytes(), value.as_bytes());
        let frames = client.exchange(request_with(1, "/", &field)).await;
        assert_eq!(frames, ["RST_STREAM 1 PROTOCOL_ERROR"], "{name}");
        assert_eq!(client.log.take(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn extended_connect_is_the_inner_services() {
    // P-31, R8441-5-01
    let mut client = connect();
    client.exchange(preface()).await;
    let block = [
        named_literal(0, b":method", b"CONNECT"),
        named_literal(0, b":protocol", b"websocket"),
        named_literal(0, b":scheme", b"http"),
        named_literal(0, b":path", b"/x"),
        named_literal(0, b":authority", b"a.test"),
    ];
    let frames = client.exchange(frame(1, 0x4, 1, &block.concat())).await;
    assert_eq!(frames[0], "HEADERS 1 200");
    let log = client.log.take();
    assert_eq!(log[0], "upgradable to Some(\"websocket\")", "{log:?}");
    assert!(!log.iter().any(|event| event.contains("asked")), "{log:?}");
}
