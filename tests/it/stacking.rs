//! The inner service can switch requests that this layer forwards: a second layer, axum's own
//! extractor, or a service that uses hyper itself.

use axum::{
    Router,
    body::Body,
    extract::ws::{Message, WebSocketUpgrade},
    routing::get as on_get,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, ServiceBuilder};
use tower_upgrade::{Switch, UpgradeHandler, UpgradeLayer, Upgraded};

use crate::support::*;

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test(start_paused = true)]
async fn a_second_inner_layer_gets_the_requests_that_the_first_forwards() {
    // P-63, H-12
    let log = Log::default();
    let service = ServiceBuilder::new()
        .layer(UpgradeLayer::new().on("foo", echo(&log, "outer").when(|head| head.uri == "/outer")))
        .layer(UpgradeLayer::new().on("foo", echo(&log, "inner")))
        .service(inner(&log));
    let mut wire = Wire::serve(service);
    wire.exchange(get("")).await.is(OK);
    wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]"));
    assert_eq!(log.take()[1..], ["inner asked \"\"", "inner runs foo", "inner reads \"NP\""]);
}

fn axum_app(layer: UpgradeLayer) -> Router {
    async fn greet(upgrade: WebSocketUpgrade) -> Response<Body> {
        upgrade.on_upgrade(|mut socket| async move {
            let message = socket.recv().await.unwrap().unwrap();
            socket
                .send(Message::text(format!("got {}", message.to_text().unwrap())))
                .await
                .unwrap();
        })
    }
    Router::new().route("/x", on_get(greet)).route("/plain", on_get(|| async { "ok" })).layer(layer)
}

#[tokio::test(start_paused = true)]
async fn axums_own_websocket_extractor_works_in_the_inner_service() {
    let log = Log::default();
    // The layer has a handler for this protocol, which does not accept the request.
    let layer = UpgradeLayer::new().on("websocket", echo(&log, "ours").when(|_| false));
    let mut wire = Wire::serve(axum_app(layer));
    // A masked text frame of "hi" with a mask of zeros.
    let hi = b"\x81\x82\0\0\0\0hi";
    let bytes = [get(WEBSOCKET).as_bytes(), hi].concat();
    let received = wire.exchange(bytes).await;
    received.starts_with("HTTP/1.1 101 Switching Protocols\r\n");
    assert!(received.text.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(received.text.contains("\u{6}got hi"), "{received:?}");
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_router_layer_switches_and_forwards() {
    let log = Log::default();
    let mut wire = Wire::serve(axum_app(fixture(&log)));
    wire.exchange(request("GET /plain HTTP/1.1", "")).await.ends_with("\r\n\r\nok").and_is_open();
    wire.exchange(request("GET /none HTTP/1.1", "")).await.starts_with("HTTP/1.1 404");
    wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]"));
    assert_eq!(log.count("failed"), 0);
}

#[tokio::test(start_paused = true)]
async fn around_a_router_a_layer_switches_and_forwards() {
    let log = Log::default();
    let mut wire = Wire::serve(fixture(&log).layer(axum_app(UpgradeLayer::new())));
    wire.exchange(request("GET /plain HTTP/1.1", "")).await.ends_with("\r\n\r\nok").and_is_open();
    wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]"));
}

#[tokio::test(start_paused = true)]
async fn on_one_route_a_layer_switches_on_that_route_only() {
    let log = Log::default();
    let route = on_get(|| async { "route" }).layer(fixture(&log));
    let app = Router::new().route("/x", route).route("/y", on_get(|| async { "other" }));
    let mut wire = Wire::serve(app);
    wire.exchange(request("GET /y HTTP/1.1", FOO)).await.ends_with("\r\n\r\nother");
    wire.exchange(get(FOO) + "NP").await.is(&(switching("foo") + "[NP]"));
    assert_eq!(log.count("failed"), 0);
}

/// Switches by itself, as a reverse proxy may.
async fn switches_by_itself(
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    if let Some(on_upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
        tokio::spawn(async move {
            let mut io = TokioIo::new(on_upgrade.await.unwrap());
            let mut bytes = [0; 2];
            io.read_exact(&mut bytes).await.unwrap();
            io.write_all(b"inner:").await.unwrap();
            io.write_all(&bytes).await.unwrap();
        });
    }
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", "mine")
        .header("x-inner", "1");
    Ok(response.body(Full::default()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_101_of_the_inner_service_is_passed_on() {
    // P-63, S-6, R9110-15.2-03: it is unchanged, and no handler of ours runs.
    for offer in ["mine", "mine, nope", "foo;void"] {
        let log = Log::default();
        let service = fixture(&log).layer(tower::service_fn(switches_by_itself));
        let headers = format!("{CU}Upgrade: {offer}\r\n");
        Wire::serve(service)
            .exchange(get(&headers) + "NP")
            .await
            .is("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: mine\r\n\
             x-inner: 1\r\n\r\ninner:NP");
        assert_eq!(log.take(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn extensions_of_outer_layers_reach_the_inner_service_and_the_handler() {
    #[derive(Clone)]
    struct Peer(u8);

    let log = Log::default();
    let seen = log.clone();
    let layer = UpgradeLayer::new().on("foo", move |request: Request<Bytes>| {
        seen.push(format!("handler {}", request.extensions().get::<Peer>().unwrap().0));
        assert!(request.extensions().get::<OnUpgrade>().is_none());
        async { Switch::to(|_io: Upgraded| async {}) }
    });
    let seen = log.clone();
    let service = ServiceBuilder::new()
        .map_request(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(7));
            request
        })
        .layer(layer)
        .service_fn(move |request: Request<Incoming>| {
            seen.push(format!("inner {}", request.extensions().get::<Peer>().unwrap().0));
            async { Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())) }
        });
    let mut wire = Wire::serve(service);
    wire.exchange(get("")).await.starts_with("HTTP/1.1 200");
    wire.exchange(get(&format!("{CU}Upgrade: nope\r\n"))).await.starts_with("HTTP/1.1 200");
    wire.exchange(get(FOO)).await.is(&switching("foo"));
    assert_eq!(log.take(), ["inner 7", "inner 7", "handler 7"]);
}
