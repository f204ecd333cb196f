//! The surroundings of the streams: extensions, layers, and hyper's duties in HTTP/1.1.

use axum::{Router, extract::Path, routing::get as route};
use http::{Extensions, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, upgrade::OnUpgrade};
use tower::{Layer, ServiceExt, service_fn, util::MapRequestLayer};
use tower_upgrade::{
    Protocol, UpgradeLayer,
    h2c::{Executor, H2c, RequestBody},
};

use super::support::*;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_body_is_not_sent_where_none_may_be() {
    // RFC 9110 §6.4.1. The length says what a GET would have got.
    for (line, status) in [
        ("HEAD /x HTTP/1.1", "HEADERS 1 200 END"),
        ("GET /204 HTTP/1.1", "HEADERS 1 204 END"),
        ("GET /304 HTTP/1.1", "HEADERS 1 304 END"),
        ("HEAD /304 HTTP/1.1", "HEADERS 1 304 END"),
    ] {
        let mut client = Client::connect();
        let frames = client.upgrade(request(line, &offer())).await;
        assert_eq!(frames, [&SERVER_PREFACE[..], &[status]].concat(), "{line}");
        // A stream is no different.
        let method = literal(0x02, b"HEAD");
        let block =
            [&method[..], &[0x86], &literal(0x01, b"a.test"), &literal(0x04, b"/x")].concat();
        let bytes = [preface(), frame(1, 0x5, 3, &block)].concat();
        assert_eq!(client.exchange(bytes).await, ["SETTINGS ACK", "HEADERS 3 200 END"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_a_stream_resets_it_and_nothing_else() {
    let mut client = Client::connect();
    let frames = client.upgrade(request("GET /panic HTTP/1.1", &offer())).await;
    let (reset, before) = frames.split_last().unwrap();
    assert_eq!(before, SERVER_PREFACE);
    assert!(reset.starts_with("RST_STREAM 1 "), "{reset}");
    let bytes = [preface(), request_on(3, "/panic"), request_on(5, "/")].concat();
    let frames = client.exchange(bytes).await;
    assert!(frames.iter().any(|frame| frame.starts_with("RST_STREAM 3 ")), "{frames:?}");
    assert!(frames.contains(&"DATA 5 2 END".into()), "{frames:?}");
}

/// Where a request comes from, as a server tells its services.
#[derive(Clone)]
struct Peer(&'static str);

/// Logs where a request comes from, and what the core says about it.
fn peers(log: &Log) -> impl App + use<> {
    let log = log.clone();
    service_fn(move |request: Request<RequestBody>| {
        let extensions = request.extensions();
        log.push(format!(
            "{} {:?} {:?}",
            request.uri().path(),
            extensions.get::<Peer>().map(|peer| peer.0),
            extensions.get::<Protocol<'static>>().map(ToString::to_string),
        ));
        Box::pin(std::future::ready(Ok(Response::new(Full::default())))) as Answer
    })
}

#[tokio::test(start_paused = true)]
async fn every_stream_has_the_extensions_of_the_upgrading_request() {
    // GO-01
    type Choose = fn(&Extensions) -> Extensions;
    let all: Option<Choose> = None;
    let none: Option<Choose> = Some(|_first| Extensions::new());
    for (choose, expected) in [(all, "Some(\"here\")"), (none, "None")] {
        let log = Log::default();
        let mut h2c = H2c::new(peers(&log));
        if let Some(choose) = choose {
            h2c = h2c.extensions(choose);
        }
        let service = MapRequestLayer::new(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer("here"));
            request
        })
        .layer(UpgradeLayer::new().on("h2c", h2c).layer(http1(peers(&log))));
        let mut client = Client::to(Wire::serve(service), log);
        client.upgrade(get(&offer())).await;
        client.exchange([preface(), request_on(3, "/y"), request_on(5, "/z")].concat()).await;
        let expected = ["/x", "/y", "/z"].map(|path| format!("{path} {expected} None"));
        assert_eq!(client.log.take(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_extensions_of_its_own_as_well() {
    let log = Log::default();
    let tunnels = log.clone();
    let service = service_fn(move |request: Request<RequestBody>| {
        let extensions = request.extensions();
        let (own, carried) = (extensions.get::<OnUpgrade>(), extensions.get::<Peer>());
        tunnels.push(format!("{} {} {}", request.method(), own.is_some(), carried.is_some()));
        Box::pin(std::future::ready(Ok(Response::new(Full::default())))) as Answer
    });
    let service = MapRequestLayer::new(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer("here"));
        request
    })
    .layer(UpgradeLayer::new().on("h2c", H2c::new(service.clone())).layer(http1(service)));
    let mut client = Client::to(Wire::serve(service), log);
    client.upgrade(get(&offer())).await;
    let connect = [literal(0x02, b"CONNECT"), literal(0x01, b"a.test:80")].concat();
    client.exchange([preface(), frame(1, 0x4, 3, &connect)].concat()).await;
    assert_eq!(client.log.take(), ["GET false true", "CONNECT true true"]);
}

/// Asks for authorization in front of the app, and logs for whom.
fn guarded(log: &Log) -> impl App + use<> {
    let (log, app) = (log.clone(), app(log));
    service_fn(move |request: Request<RequestBody>| {
        let allowed = request.headers().contains_key(AUTHORIZATION);
        log.push(format!("auth {} {allowed}", request.uri().path()));
        let app = app.clone();
        Box::pin(async move {
            if allowed {
                return app.oneshot(request).await;
            }
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            Ok(response)
        }) as Answer
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_cannot_get_past_a_layer_that_stands_inside() {
    // S-2, CVE-2026-32136
    let authorization = "Authorization: yes\r\n";
    for (lines, first) in [(authorization, "HEADERS 1 200"), ("", "HEADERS 1 400 END")] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on("h2c", H2c::new(guarded(&log)));
        let mut client = Client::to(Wire::serve(layer.layer(http1(guarded(&log)))), log);
        let frames = client.upgrade(get(&(offer() + lines))).await;
        assert_eq!(frames[2], first);
        client.log.take();

        let bytes = [preface(), request_on(3, "/secret")].concat();
        assert_eq!(client.exchange(bytes).await, ["SETTINGS ACK", "HEADERS 3 400 END"]);
        assert_eq!(client.log.take(), ["auth /secret false"]);
        let authorized = named_literal(0, b"authorization", b"yes");
        let frames = client.exchange(request_with(5, "/secret", &authorized)).await;
        assert_eq!(frames[0], "HEADERS 5 200");
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_stands_outside_sees_the_first_request_alone() {
    // S-2: what the documentation warns of, so that it stays true.
    let log = Log::default();
    let inside = layer(&log).layer(http1(app(&log)));
    let outside = log.clone();
    let service = MapRequestLayer::new(move |request: Request<Incoming>| {
        outside.push(format!("outside {}", request.uri().path()));
        request
    })
    .layer(inside);
    let mut client = Client::to(Wire::serve(service), log);
    client.upgrade(get(&offer())).await;
    let bytes = [preface(), request_on(3, "/secret")].concat();
    client.exchange(bytes).await;
    assert_eq!(client.log.count("outside"), 1);
    assert_eq!(client.log.count("GET http://a.test/secret"), 1);
}

/// Tells what axum found out about the request.
fn router(log: &Log) -> Router {
    let log = log.clone();
    let handler = move |Path(id): Path<u32>| {
        log.push(format!("asked for {id}"));
        std::future::ready(())
    };
    Router::new().route("/users/{id}", route(handler.clone())).route("/posts/{id}", route(handler))
}

/// Asks for one of the paths with the upgrade, and for another behind it.
async fn ask_axum(service: Router, log: Log) -> Vec<String> {
    let mut client = Client::to(Wire::serve(service), log);
    client.upgrade(request("GET /users/1 HTTP/1.1", &offer())).await;
    client.exchange([preface(), request_on(3, "/posts/2")].concat()).await;
    client.log.take()
}

#[tokio::test(start_paused = true)]
async fn a_router_inside_routes_each_stream_by_its_own_path() {
    let expected = ["asked for 1", "asked for 2"];
    let log = Log::default();
    let app = router(&log);
    let layer = UpgradeLayer::new().on("h2c", H2c::new(app.clone()));
    let around = Router::new().fallback_service(layer.layer(app.clone()));
    assert_eq!(ask_axum(around, log.clone()).await, expected);

    // Behind the router, what it said about the first request must not be carried over.
    let h2c = H2c::new(app.clone()).extensions(|_first| Extensions::new());
    let behind = app.clone().layer(UpgradeLayer::new().on("h2c", h2c));
    assert_eq!(ask_axum(behind, log.clone()).await, expected);

    // The documentation warns of this order.
    let behind = app.clone().layer(UpgradeLayer::new().on("h2c", H2c::new(app)));
    assert_eq!(ask_axum(behind, log).await, [] as [&str; 0]);
}

#[test]
fn options_that_http_2_does_not_allow_panic_where_they_are_set() {
    // There is no runtime here, as there may be none where a server is configured.
    let configure = |configure: fn(&mut http2::Builder<Executor>)| {
        let configured = move || drop(H2c::new(app(&Log::default())).http2(configure));
        std::panic::catch_unwind(configured).is_ok()
    };
    assert!(configure(|http2| {
        http2.keep_alive_interval(std::time::Duration::from_secs(1)).adaptive_window(true);
    }));
    assert!(!configure(|http2| {
        http2.max_frame_size(1 << 24);
    }));
    assert!(!configure(|http2| {
        http2.max_frame_size(16_383);
    }));
    assert!(!configure(|http2| {
        http2.initial_connection_window_size(1 << 31);
    }));
}
