//! The same switches by extended CONNECT, on a stream of HTTP/2.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use axum::{Router, body::Body, response::IntoResponse};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode, Version};
use http_body_util::Empty;
use hyper::{body::Incoming, client, ext::Protocol, server::conn::http2, upgrade::Upgraded};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
use tower_upgrade::UpgradeLayer;

use crate::{
    harness::{Build, COMMON, Column, QUIET, Word, any_request_body},
    subject::{ANSWER, FRAME, HANDLER, Subject, with_axum_body},
};

// With an error of a type that has no lifetime, as a task of the connection needs it.
type Served = BoxCloneService<Request<Incoming>, Response<Body>, io::Error>;

/// The service of a column.
fn service(column: Column, build: &Build, subject: &Subject) -> Served {
    let app = any_request_body(build(subject)).map_err(io::Error::other);
    match column {
        Column::Without => BoxCloneService::new(app),
        Column::With => {
            BoxCloneService::new(UpgradeLayer::outermost().layer(app).map_response(with_axum_body))
        }
        Column::OnRouter => {
            let app = Arc::new(Mutex::new(build(subject)));
            let app = service_fn(move |request: Request<Body>| {
                let app = app.lock().expect("no panic").clone();
                app.oneshot(request).map(|result| {
                    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR.into_response();
                    Ok::<_, Infallible>(result.unwrap_or_else(failed))
                })
            });
            let router = Router::new().fallback_service(app).layer(UpgradeLayer::outermost());
            let router = ServiceExt::<Request<Incoming>>::map_err(router, io::Error::other);
            BoxCloneService::new(router)
        }
    }
}

/// Sends an extended CONNECT on a connection of its own.
async fn connect(
    protocol: &'static str,
    column: Column,
    build: &Build,
    subject: &Subject,
) -> hyper::Result<Response<Incoming>> {
    let (client, server) = tokio::io::duplex(1 << 16);
    let service = TowerToHyperService::new(service(column, build, subject));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.enable_connect_protocol();
    let connection = builder.serve_connection(TokioIo::new(server), service);
    // An error is what a service that fails is meant to cause.
    tokio::spawn(async { connection.await.ok() });
    let (mut sender, connection) =
        client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await?;
    tokio::spawn(async { connection.await.ok() });
    // Until the server's settings are there.
    sleep(Duration::from_millis(1)).await;
    let mut request = Request::connect("http://a.test/x").version(Version::HTTP_2);
    for line in COMMON.lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        request = request.header(name, value);
    }
    if protocol == "websocket" {
        request = request.header("sec-websocket-version", "13");
    }
    let request = request.extension(Protocol::from_static(protocol)).body(Empty::<Bytes>::new());
    sender.send_request(request.expect("a request")).await
}

/// The cells of a row: a protocol with bytes right after the answer, and a WebSocket.
pub(crate) async fn switches(column: Column, build: &Build) -> [Word; 2] {
    [
        switch("echo", b"early", b"HANDLER[early]", column, build).await,
        switch("websocket", FRAME, ANSWER, column, build).await,
    ]
}

async fn switch(
    protocol: &'static str,
    sent: &[u8],
    expected: &[u8],
    column: Column,
    build: &Build,
) -> Word {
    let subject = Subject::ours();
    let Ok(answer) = timeout(QUIET, connect(protocol, column, build, &subject)).await else {
        return Word::Hang;
    };
    let Ok(response) = answer else {
        return Word::Closed;
    };
    if subject.counts().plain.load(Ordering::Relaxed) > 0 {
        return Word::Forwarded;
    }
    let status = response.status();
    if !status.is_success() {
        return Word::Refused(status.as_u16());
    }
    let names = ["connection", "upgrade", "content-length", "transfer-encoding"];
    let is_switch = !names.iter().any(|name| response.headers().contains_key(*name));
    let Ok(mut stream) = hyper::upgrade::on(response).await.map(TokioIo::new) else {
        return Word::Closed;
    };
    stream.write_all(sent).await.ok();
    let (spoken, closed) = receive(&mut stream).await;
    match spoken {
        _ if spoken == expected && !closed && is_switch => Word::Works,
        _ if spoken == expected && !closed => Word::Malformed,
        spoken if spoken.is_empty() && closed => Word::Eof,
        spoken if spoken.is_empty() => Word::Hang,
        _ => Word::Wrong,
    }
}

/// Returns all that comes until every task is idle, and whether the stream has ended.
async fn receive(stream: &mut TokioIo<Upgraded>) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Ok(read) = timeout(QUIET, stream.read_buf(&mut bytes)).await {
        if read.unwrap_or(0) == 0 {
            return (bytes, true);
        }
    }
    (bytes, false)
}

/// Whether a handler runs under a hostile stack, and the status that the client gets.
pub(crate) async fn runs(column: Column, build: &Build) -> (bool, String) {
    let subject = Subject::ours();
    let answer = timeout(QUIET, connect("echo", column, build, &subject)).await;
    let response = answer.ok().and_then(Result::ok);
    let status = response.as_ref().map_or("none".into(), |it| it.status().to_string());
    let mut spoken = Vec::new();
    if let Some(response) = response.filter(|it| it.status().is_success())
        && let Ok(stream) = hyper::upgrade::on(response).await
    {
        let mut stream = TokioIo::new(stream);
        stream.write_all(b"early").await.ok();
        spoken = receive(&mut stream).await.0;
    }
    sleep(QUIET).await;
    let is_on_the_wire = spoken.windows(HANDLER.len()).any(|bytes| bytes == HANDLER.as_bytes());
    (is_on_the_wire || subject.counts().ran.load(Ordering::Relaxed) > 0, status)
}

/// The outcomes of a row: `echo` and a WebSocket, without `outermost()` and with it.
pub(crate) type Cells = [[Word; 2]; 2];

/// The outcomes expected of a row, and the reason, unless all of them work.
pub(crate) fn expected(row: &str) -> (Cells, Option<&'static str>) {
    let exception = EXCEPTIONS.iter().find(|(name, ..)| *name == row);
    exception.map_or(([WORKS; 2], None), |(_, cells, reason)| (*cells, Some(*reason)))
}

/// Whether a handler may run under a hostile stack, without `outermost()` and with it.
pub(crate) fn may_run(hostile: &str) -> [bool; 2] {
    let other_2xx = OTHER_2XX.contains(&hostile);
    let harmless = HARMLESS.contains(&hostile);
    [other_2xx || harmless, harmless]
}

const WORKS: [Word; 2] = [Word::Works; 2];
const EOF: [Word; 2] = [Word::Eof; 2];
const FORWARDED: [Word; 2] = [Word::Forwarded; 2];

const EXCEPTIONS: [(&str, Cells, &str); 8] = [
    (
        "MethodRouter::route_layer",
        [[Word::Refused(405); 2]; 2],
        "the route is for GET, not for CONNECT",
    ),
    (
        "axum-htmx, AutoVaryLayer",
        [[Word::Works, Word::Eof], [Word::Works, Word::Refused(503)]],
        "as over HTTP/1.1",
    ),
    ("response: collected", [EOF, WORKS], REBUILT),
    ("response: first frame read, and put back", [EOF, WORKS], POLLED),
    ("response: a channel and a task", [EOF, WORKS], POLLED),
    ("response: collected, axum's to_bytes in from_fn", [EOF, WORKS], REBUILT),
    ("response: collected, a new head with the same status and headers", [EOF, WORKS], REBUILT),
    ("request: a new head without extensions", [FORWARDED; 2], "as over HTTP/1.1"),
];

const REBUILT: &str =
    "the body of the 200 is gone before it is sent, so only `outermost()` can tell";

const POLLED: &str = "hyper does not poll the body of a 200, so one that is polled is not sent";

/// Hostile stacks that do nothing to a 200, so that the client gets that of the handler.
pub(crate) const HARMLESS: [&str; 6] = [
    "status changed to 200",
    "`Upgrade` changed",
    "`Upgrade` removed",
    "RetryLayer, whose second try fails",
    "RetryLayer, whose second try is a second handshake",
    "Router::layer, from_fn, Err",
];

/// Hostile stacks that change the 200 in place to a status that opens the tunnel all the same.
const OTHER_2XX: [&str; 4] = [
    "status changed to 204",
    "SetStatusLayer, 204",
    "status changed to 204, CompressionLayer inside",
    "Router::layer, map_response, status changed to 204",
];
