//! `advertise`: forwarded responses list the registered protocols.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_upgrade::{Switch, UpgradeLayer};

use super::{LIST, serve};
use crate::support::*;

/// Serves an inner service with this response below a layer that advertises.
async fn advertised(
    status: u16,
    headers: &[(&'static str, &'static str)],
    request: &str,
) -> String {
    let headers = headers.to_vec();
    let inner = service_fn(move |_: Request<hyper::body::Incoming>| {
        let response = Response::builder().status(status);
        let response =
            headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
        async move { Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap()) }
    });
    let handler = async |_: Request<Bytes>| Err::<Switch, _>(StatusCode::FORBIDDEN);
    let layer = UpgradeLayer::new().on("foo/*", handler).on("bar/2", handler).advertise();
    let received = Wire::serve(layer.layer(inner)).exchange(request).await;
    let lines = received.text.lines().filter(|line| {
        line.starts_with("HTTP/") || line.starts_with("upgrade:") || line.starts_with("connection:")
    });
    lines.collect::<Vec<_>>().join("|")
}

#[tokio::test(start_paused = true)]
async fn advertise_adds_to_forwarded_responses_what_is_not_there() {
    // R9110-7.8-11, R9110-7.8-14, R9110-5.6.1.1-01
    let plain = get("");
    for (headers, expected) in [
        (&[][..], "upgrade: foo, bar/2|connection: upgrade"),
        (&[("connection", "x")], "connection: upgrade, x|upgrade: foo, bar/2"),
        (&[("connection", "x, Upgrade")], "connection: x, Upgrade|upgrade: foo, bar/2"),
        (&[("upgrade", "bar/2")], "upgrade: bar/2|upgrade: foo|connection: upgrade"),
        (&[("upgrade", "x, FOO, bar/2")], "upgrade: x, FOO, bar/2|connection: upgrade"),
        (&[("connection", "")], "connection: upgrade|upgrade: foo, bar/2"),
    ] {
        let expected = format!("HTTP/1.1 200 OK|{expected}");
        assert_eq!(advertised(200, headers, &plain).await, expected, "{headers:?}");
    }
    // P-03, P-11: so with an offer that nobody takes.
    for request in [get("Upgrade: foo\r\n"), get(&format!("{CU}Upgrade: nope\r\n"))] {
        let expected = "HTTP/1.1 200 OK|upgrade: foo, bar/2|connection: upgrade";
        assert_eq!(advertised(200, &[], &request).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn advertise_leaves_other_responses_alone() {
    let advertised_by_us = "|upgrade: foo, bar/2|connection: upgrade";
    let http_1_0 = request("GET /x HTTP/1.0", "");
    let connect = request("CONNECT a.test:443 HTTP/1.1", "");
    for (status, request, expected) in [
        (404, get(""), format!("HTTP/1.1 404 Not Found{advertised_by_us}")),
        (204, get(""), format!("HTTP/1.1 204 No Content{advertised_by_us}")),
        (304, get(""), format!("HTTP/1.1 304 Not Modified{advertised_by_us}")),
        (426, get(""), "HTTP/1.1 426 Upgrade Required".into()),
        (101, get(""), "HTTP/1.1 101 Switching Protocols".into()),
        (200, http_1_0, "HTTP/1.0 200 OK".into()),
        (200, connect, "HTTP/1.1 200 OK".into()),
        // A rejection is the handler's response.
        (200, get(FOO), "HTTP/1.1 403 Forbidden".into()),
    ] {
        assert_eq!(advertised(status, &[], &request).await, expected, "{status} {request}");
    }
}

#[tokio::test(start_paused = true)]
async fn advertise_is_not_repeated_by_layers_around_one_another() {
    let log = Log::default();
    let layer = fixture(&log).advertise();
    let mut wire = Wire::serve(layer.clone().layer(layer.layer(inner(&log))));
    let expected =
        OK.replacen("\r\n", &format!("\r\nupgrade: {LIST}\r\nconnection: upgrade\r\n"), 1);
    wire.exchange(get("")).await.is(&expected).and_is_open();
}

#[tokio::test(start_paused = true)]
async fn advertise_adds_to_the_answer_of_an_inner_service_that_was_asked() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on_inner("foo").advertise();
    let received = serve(&log, &layer).exchange(get(FOO)).await;
    assert!(received.text.contains("\r\nupgrade: foo\r\nconnection: upgrade\r\n"), "{received:?}");
}

/// Never doubled, whatever `Connection` has beside it.
#[tokio::test(start_paused = true)]
async fn advertise_names_its_option_once_beside_a_malformed_one() {
    let odd = service_fn(async |_: Request<hyper::body::Incoming>| {
        let mut response = Response::new(Full::<Bytes>::from("a page"));
        response.headers_mut().insert("connection", "upgrade, a b".parse().unwrap());
        Ok::<_, Infallible>(response)
    });
    let layer = fixture(&Log::default()).advertise();
    let mut wire = Wire::serve(layer.layer(layer.layer(odd)));
    let received = wire.exchange(get("")).await;
    let line =
        received.text.lines().find(|line| line.starts_with("connection")).unwrap().to_owned();
    assert_eq!(line.matches("upgrade").count(), 1, "{line}");
}
