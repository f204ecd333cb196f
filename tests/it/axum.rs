//! The layer in an axum app: its places, and the return values of handlers.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Path, State},
    http::{Request, StatusCode},
    response::IntoResponse,
    routing::{any, get as on_get},
};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::Layer;
use tower_upgrade::{Protocol, Rejection, Switch, UpgradeLayer};

use crate::support::*;

async fn room(
    protocol: Protocol<'static>,
    State(log): State<Log>,
    Path(room): Path<String>,
) -> Result<Switch, Rejection> {
    if room == "closed" {
        return Err((StatusCode::CONFLICT, "this room is closed").into());
    }
    log.push(format!("room {room}, {protocol}"));
    Ok(Switch::to(echo_run(&log, "foo")))
}

async fn page_or_room(
    protocol: Option<Protocol<'static>>,
    State(log): State<Log>,
) -> Result<Switch, &'static str> {
    protocol.ok_or("a page")?;
    Ok(Switch::to(echo_run(&log, "foo")))
}

fn app(log: &Log) -> Router {
    Router::new()
        .route("/rooms/{room}", any(room))
        .route("/both", any(page_or_room))
        .route("/", on_get(|| async { "plain" }))
        .with_state(log.clone())
}

fn at(path: &str, headers: &str) -> String {
    request(&format!("GET {path} HTTP/1.1"), headers)
}

#[tokio::test(start_paused = true)]
async fn a_handler_returns_a_switch_after_its_extractors() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on_inner("foo");
    for (name, app) in [
        ("for axum", app(&log).layer(layer.clone().for_axum())),
        ("wrapped", app(&log).layer(layer.clone())),
        ("route layer", app(&log).route_layer(layer.clone().for_axum())),
        ("certain", app(&log).layer(layer.for_axum()).layer(UpgradeLayer::outermost())),
    ] {
        let mut wire = Wire::serve(app);
        wire.exchange(at("/", "")).await.ends_with("\r\n\r\nplain").and_is_open();
        wire.exchange(at("/", FOO)).await.ends_with("\r\n\r\nplain").and_is_open();
        wire.exchange(at("/nope", FOO)).await.starts_with("HTTP/1.1 404").and_is_open();
        let received = wire.exchange(at("/rooms/closed", FOO)).await;
        received.starts_with("HTTP/1.1 409").ends_with("\r\n\r\nthis room is closed").and_is_open();
        wire.exchange(at("/rooms/a", "")).await.starts_with("HTTP/1.1 400").and_is_open();
        wire.exchange(at("/both", "")).await.ends_with("\r\n\r\na page").and_is_open();
        let received = wire.exchange(at("/rooms/lobby", FOO) + "NP").await;
        assert_eq!(received.text, switching("foo") + "[NP]", "{name}");
        assert!(log.take().contains(&String::from("room lobby, foo")), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agreed_protocol_is_an_extractor() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on_inner("foo").on_inner("foo/2");
    for (path, offered, agreed) in [
        ("/rooms/a", "foo", "foo"),
        ("/rooms/a", "FOO/1, Foo/2", "foo/2"),
        ("/both", "foo", "foo"),
        ("/both", "foo/1, foo/2, foo", "foo/2"),
    ] {
        let mut wire = Wire::serve(app(&log).layer(layer.clone().for_axum()));
        let offer = format!("Connection: upgrade\r\nUpgrade: {offered}\r\n");
        let received = wire.exchange(at(path, &offer) + "NP").await;
        assert_eq!(received.text, switching(agreed) + "[NP]", "{path} {offered}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_agreed_protocol_is_rejected_and_says_why() {
    let text = "this path speaks another protocol: send `Connection: upgrade` and `Upgrade` with its \
                name, and no body; an `UpgradeLayer::on_inner` around the path has to register it\n";
    let log = Log::default();
    let on_inner = UpgradeLayer::new().on_inner("foo");
    for (headers, layer) in [
        ("", Some(on_inner.clone())),
        ("Connection: upgrade\r\nUpgrade: foo/1\r\n", Some(on_inner.clone())),
        // Malformed.
        ("Connection: upgrade\r\nUpgrade: foo/\r\n", Some(on_inner)),
        // Nobody asks the routes.
        (FOO, Some(UpgradeLayer::new())),
        (FOO, None),
    ] {
        let app = match layer.clone() {
            Some(layer) => app(&log).layer(layer.for_axum()),
            None => app(&log),
        };
        let mut wire = Wire::serve(app);
        let received = wire.exchange(at("/rooms/a", headers)).await;
        received.starts_with("HTTP/1.1 400").ends_with(text).and_is_open();
        wire.exchange(at("/both", headers)).await.ends_with("\r\n\r\na page").and_is_open();
    }
    assert!(!log.take().iter().any(|line| line.starts_with("room")));
}

#[tokio::test(start_paused = true)]
async fn on_a_route_that_requires_an_upgrade_it_is_426() {
    // R9110-15.5.22-01
    let log = Log::default();
    let layer = UpgradeLayer::new().on_inner("foo").required();
    let mut wire = Wire::serve(app(&log).layer(layer.for_axum()));
    let received = wire.exchange(at("/rooms/a", "")).await;
    received.starts_with("HTTP/1.1 426").and_is_open();
    assert!(received.text.contains("upgrade: foo\r\n"), "{}", received.text);
}

#[tokio::test]
async fn axum_serves_a_layer_around_the_whole_router() {
    let log = Log::default();
    let app = app(&log);
    let layer = UpgradeLayer::new().on_inner("foo").for_axum();
    let service = UpgradeLayer::outermost().for_axum().layer(layer.layer(app));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move {
        axum::serve(listener, service.into_make_service()).await.unwrap();
    }));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all((at("/rooms/a", FOO) + "NP").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"[NP]") {
        assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
}

#[tokio::test]
async fn axum_serves_it_with_the_address_of_the_client() {
    use axum::ServiceExt;

    async fn peer(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
        peer.ip().to_string()
    }

    let app = Router::new().route("/", on_get(peer));
    let service = UpgradeLayer::new().for_axum().layer(app);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move {
        let service =
            ServiceExt::<Request<Body>>::into_make_service_with_connect_info::<SocketAddr>(service);
        axum::serve(listener, service).await.unwrap();
    }));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(at("/", "Connection: close\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_rejection_and_a_switch_are_responses() {
    let rejection = Rejection::from((StatusCode::CONFLICT, "taken")).into_response();
    assert_eq!(rejection.status(), StatusCode::CONFLICT);
    let body = axum::body::to_bytes(rejection.into_body(), 100).await.unwrap();
    assert_eq!(body, Bytes::from("taken"));
    let switch = Switch::to(|_io: tower_upgrade::Upgraded| async {});
    assert_eq!(IntoResponse::into_response(switch).status(), StatusCode::INTERNAL_SERVER_ERROR);
}
