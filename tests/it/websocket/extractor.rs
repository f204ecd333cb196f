//! The offer as an extractor of axum's handlers.

use axum::{
    Extension, Router,
    extract::State,
    routing::{any, get as on_get},
};
use http::StatusCode;
use tower::Layer;
use tower_upgrade::{
    Switch, UpgradeLayer,
    websocket::{Offer, Origins},
};

use super::{ACCEPT, opened, opening};
use crate::support::*;

#[axum::debug_handler]
async fn echo(ws: Offer, State(log): State<Log>) -> Switch {
    ws.subprotocols(["chat"]).switch(move |io, agreed| {
        log.push(format!("agreed {:?}", agreed.subprotocol));
        echo_run(&log, "ws")(io)
    })
}

#[axum::debug_handler]
async fn page_or_socket(ws: Option<Offer>, State(log): State<Log>) -> Result<Switch, &'static str> {
    Ok(ws.ok_or("a page")?.switch(move |io, _agreed| echo_run(&log, "ws")(io)))
}

fn routes(log: &Log) -> Router {
    Router::new()
        .route("/x", any(echo))
        .route("/both", on_get(page_or_socket))
        .with_state(log.clone())
}

fn app(log: &Log) -> Router {
    let failures = log.clone();
    let layer = UpgradeLayer::new()
        .on_inner("websocket")
        .on_failure(move |error| failures.push(describe(&error)));
    routes(log).layer(layer.for_axum())
}

#[tokio::test(start_paused = true)]
async fn a_handler_takes_the_offer_and_switches_wherever_the_request_is_split() {
    let bytes = opening(&[], &["Sec-WebSocket-Protocol: x, chat"]) + "frame";
    for at in 0..bytes.len() - "frame".len() {
        let log = Log::default();
        let received = Wire::serve(app(&log)).exchange_split(bytes.as_bytes(), at).await;
        let agreed = opened(ACCEPT, "sec-websocket-protocol: chat\r\n");
        received.is(&(agreed + "[frame]")).and_is_open();
        assert_eq!(log.take()[0], "agreed Some(\"chat\")");
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_fails_a_check_is_rejected_before_the_handler() {
    let log = Log::default();
    for path in ["/x", "/both"] {
        for (without, more, status) in [
            ("Sec-WebSocket-Key", "X: y", "400"),
            ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8", "426"),
            ("X", "Origin: https://evil.test", "403"),
        ] {
            let bytes = opening(&[without], &[more]).replace("/x", path);
            let received = Wire::serve(app(&log)).exchange(bytes).await;
            received.starts_with(&format!("HTTP/1.1 {status}")).and_is_open();
            if status == "426" {
                assert!(received.text.contains("upgrade: websocket\r\n"), "{received:?}");
                assert!(received.text.contains("connection: upgrade\r\n"), "{received:?}");
                assert!(received.text.contains("sec-websocket-version: 13\r\n"), "{received:?}");
            }
        }
    }
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn origins_come_from_the_extensions_of_the_request() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on_inner("websocket").for_axum();
    let listed = Extension(Origins::list(["https://app.test"]));
    let service = routes(&log).layer(listed).layer(layer);
    for (origin, status) in [("https://app.test", "101"), ("https://a.test", "403")] {
        let bytes = opening(&[], &[&format!("Origin: {origin}")]);
        let received = Wire::serve(service.clone()).exchange(bytes).await;
        received.starts_with(&format!("HTTP/1.1 {status}"));
    }
}

const REQUIRED: &str = "HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\n\
                        connection: upgrade\r\ncontent-length: 58\r\n\r\n\
                        this path is a WebSocket: connect with a WebSocket client\n";

#[tokio::test(start_paused = true)]
async fn without_an_offer_the_answer_is_426_or_the_page() {
    let log = Log::default();
    let mut wire = Wire::serve(app(&log));
    for lines in ["", CU, FOO, "Upgrade: websocket\r\n"] {
        wire.exchange(request("GET /x HTTP/1.1", lines)).await.is(REQUIRED).and_is_open();
        let received = wire.exchange(request("GET /both HTTP/1.1", lines)).await;
        received.starts_with("HTTP/1.1 200").ends_with("\r\n\r\na page").and_is_open();
    }
    // Nor with an offer of another protocol that a layer asks about.
    let layer = UpgradeLayer::new().on_inner("foo").for_axum();
    let mut other = Wire::serve(routes(&log).layer(layer));
    other.exchange(get(FOO)).await.is(REQUIRED).and_is_open();
    let body = opening(&[], &["Content-Length: 2"]).replace("GET", "POST") + "hi";
    wire.exchange(body).await.is(REQUIRED);
    let bytes = opening(&[], &[]).replace("/x", "/both") + "frame";
    Wire::serve(app(&log)).exchange(bytes).await.is(&(opened(ACCEPT, "") + "[frame]"));
}

#[tokio::test(start_paused = true)]
async fn without_a_layer_the_answer_is_426_and_never_a_bare_101() {
    let log = Log::default();
    let other = UpgradeLayer::new().on_inner("foo").for_axum();
    for app in [routes(&log), routes(&log).layer(other)] {
        let mut wire = Wire::serve(app);
        let received = wire.exchange(opening(&[], &[])).await;
        received.starts_with("HTTP/1.1 426").and_is_open();
        // The client has done nothing wrong.
        assert!(
            received.text.contains("no `UpgradeLayer::on_inner(\"websocket\")`"),
            "{received:?}"
        );
        wire.exchange(get("")).await.is(REQUIRED).and_is_open();
    }
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn middleware_may_rebuild_the_response_and_has_the_last_word_about_its_status() {
    use axum::{body::Body, middleware::map_response, response::Response};

    async fn rebuild(response: Response) -> Response {
        let (head, body) = response.into_parts();
        let mut new = Response::new(Body::new(body));
        (*new.status_mut(), *new.headers_mut()) = (head.status, head.headers);
        new.headers_mut().insert("x-rebuilt", "1".parse().unwrap());
        new
    }

    async fn forbid(mut response: Response) -> Response {
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    }

    let log = Log::default();
    let layer = || UpgradeLayer::new().on_inner("websocket").for_axum();
    let rebuilt = routes(&log).layer(map_response(rebuild)).layer(layer());
    let received = Wire::serve(rebuilt).exchange(opening(&[], &[]) + "frame").await;
    received.is(&(opened(ACCEPT, "x-rebuilt: 1\r\n") + "[frame]"));
    assert_eq!(log.count("ws runs"), 1);
    let forbidden = routes(&log).layer(map_response(forbid)).layer(layer());
    let received = Wire::serve(forbidden).exchange(opening(&[], &[])).await;
    received.starts_with("HTTP/1.1 403").and_is_open();
    assert_eq!(log.count("ws runs"), 1);
}

#[tokio::test(start_paused = true)]
async fn two_answers_to_one_offer_are_a_500_and_reported() {
    use axum::{body::Body, extract::Request, middleware::Next};

    async fn twice(request: Request, next: Next) -> axum::response::Response {
        let (head, _body) = request.into_parts();
        let clone = Request::from_parts(head.clone(), Body::empty());
        drop(next.clone().run(clone).await);
        next.run(Request::from_parts(head, Body::empty())).await
    }

    let log = Log::default();
    let failures = log.clone();
    let layer = UpgradeLayer::new()
        .on_inner("websocket")
        .on_failure(move |error| failures.push(describe(&error)));
    let app = routes(&log).layer(axum::middleware::from_fn(twice)).layer(layer.for_axum());
    let received = Wire::serve(app).exchange(opening(&[], &[])).await;
    received.starts_with("HTTP/1.1 500").and_is_open();
    assert_eq!((log.count("ws runs"), log.count("failed websocket Switch")), (0, 1), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_of_hyper_answers_an_offer_from_its_head() {
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;
    use tower_upgrade::Protocol;

    let log = Log::default();
    let seen = log.clone();
    let inner = tower::service_fn(move |request: Request<Incoming>| {
        let log = seen.clone();
        let (head, _body) = request.into_parts();
        let response = match head.extensions.get::<Protocol<'static>>() {
            None => Response::new(Full::<Bytes>::from("a page")),
            Some(_) => match Offer::from_head(&head, &Origins::same_host()) {
                Ok(offer) => offer.switch(move |io, _| echo_run(&log, "ws")(io)).into_response(),
                Err(rejection) => {
                    Response::builder().status(rejection.status()).body(Full::default()).unwrap()
                }
            },
        };
        std::future::ready(Ok::<_, std::convert::Infallible>(response))
    });
    let service = UpgradeLayer::new().on_inner("websocket").layer(inner);
    let mut wire = Wire::serve(service.clone());
    wire.exchange(get("")).await.ends_with("a page");
    wire.exchange(opening(&["Host"], &[])).await.starts_with("HTTP/1.1 400").and_is_open();
    wire.exchange(opening(&[], &[]) + "frame").await.is(&(opened(ACCEPT, "") + "[frame]"));
}
