//! Extended CONNECT: the same handlers on a stream of HTTP/2 (RFC 8441).

mod certain;
mod hostile;
mod servers;
pub(crate) mod support;
#[cfg(feature = "websocket")]
mod websocket;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{Empty, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::oneshot,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_upgrade::{
    Connections, Protocol, Rejection, Switch, UpgradeHandler, UpgradeLayer, Upgraded,
};

use self::support::{Client, connect};
use crate::support::*;

/// The inner service, with a status that does not open a tunnel.
fn not_found(log: &Log) -> Inner {
    let not_found = |mut response: Response<Full<Bytes>>| {
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    };
    inner(log).map_response(not_found).boxed_clone()
}

async fn serve(log: &Log, layer: UpgradeLayer) -> Client {
    let failures = log.clone();
    let layer = layer.on_failure(move |error| failures.push(describe(&error)));
    Client::serve(layer.extended_connect().layer(not_found(log))).await
}

/// A client of the fixture with extended CONNECT.
async fn client(log: &Log) -> Client {
    serve(log, fixture(log)).await
}

#[tokio::test(start_paused = true)]
async fn a_handler_answers_200_and_runs_on_the_stream() {
    // R8441-5-03
    let log = Log::default();
    let mut client = client(&log).await;
    let mut answer = client.connect("foo").await;
    answer.is(200, &[]);
    assert_eq!(answer.exchange("NP").await, "[NP]");
    assert_eq!(log.take(), ["foo asked \"\"", "foo runs foo", "foo reads \"NP\""]);
    answer.tunnel().shutdown().await.unwrap();
    assert_eq!(answer.receive().await, (String::new(), true));
    assert_eq!(log.take(), ["foo ends"]);
}

#[tokio::test(start_paused = true)]
async fn a_protocol_is_matched_as_in_an_upgrade_header() {
    // R9110-7.8-05, P-12, P-13, P-20, and texts that are no protocol: P-07, P-14
    let log = Log::default();
    let layer = fixture(&log);
    let mut client = serve(&log, layer.clone()).await;
    for (protocol, runs) in [
        ("foo", Some("foo runs foo")),
        ("FOO", Some("foo runs foo")),
        ("foo/1", Some("foo runs foo/1")),
        ("bar/2", Some("bar runs bar/2")),
        ("WebSocket", Some("websocket runs websocket")),
        ("bar", None),
        ("bar/1", None),
        ("foo/", None),
        ("foo, bar/2", None),
        ("foo bar", None),
        ("nope", None),
    ] {
        let answer = client.connect(protocol).await;
        settle().await;
        assert_eq!(answer.status, if runs.is_some() { 200 } else { 404 }, "{protocol}");
        let events = log.take();
        assert_eq!(events.iter().find(|event| event.contains("runs")).map(String::as_str), runs);
        let forwarded =
            events.iter().any(|event| event == "inner CONNECT http://a.test/x \"\" upgradable");
        assert_eq!(forwarded, runs.is_none(), "{protocol}: {events:?}");
    }
    let declined = layer.connections().stats().declined;
    assert_eq!((declined.unregistered, declined.upgrade, declined.request), (3, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn without_the_policy_it_is_forwarded_with_hypers_promise() {
    // R8441-5-01, P-31, S-14
    let log = Log::default();
    let layer = fixture(&log);
    let mut client = Client::serve(layer.clone().layer(not_found(&log))).await;
    client.connect("foo").await.is(404, &["content-length: 2"]);
    assert_eq!(log.take(), ["inner CONNECT http://a.test/x \"\" upgradable"]);
    assert_eq!(layer.connections().stats().declined.request, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connect_without_a_protocol_is_forwarded() {
    let log = Log::default();
    let mut client = client(&log).await;
    let request = Request::connect("a.test:443").version(Version::HTTP_2).body(()).unwrap();
    client.send(request).await.is(404, &["content-length: 2"]);
    assert_eq!(log.take(), ["inner CONNECT a.test:443 \"\" upgradable"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_sees_connect_http_2_and_the_agreed_protocol() {
    let log = Log::default();
    let seen = log.clone();
    let handler = move |request: Request<Bytes>| {
        let protocol: Option<&Protocol<'static>> = request.extensions().get();
        seen.push(format!(
            "{} {} {:?} {:?} {:?}",
            request.method(),
            request.uri(),
            request.version(),
            protocol.map(ToString::to_string),
            request.headers().get("x-name"),
        ));
        async {
            Switch::to(|_io: Upgraded| async {})
                .header(HeaderName::from_static("x-mood"), HeaderValue::from_static("good"))
                .header(HeaderName::from_static("content-length"), HeaderValue::from_static("5"))
        }
    };
    let handler = handler.when(|head| head.uri.path() == "/feed");
    let mut client = serve(&log, UpgradeLayer::new().on("feed/1", handler)).await;
    let answer = client.send(connect("feed/1", "/feed?a=b", &[("x-name", "Ada")])).await;
    answer.is(200, &["x-mood: good"]);
    let seen = "CONNECT http://a.test/feed?a=b HTTP/2.0 Some(\"feed/1\") Some(\"Ada\")";
    assert_eq!(log.take(), [seen]);
    client.send(connect("feed/1", "/other", &[])).await.is(404, &["content-length: 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_one_of_http_2() {
    // R9113-8.2.2-01, R9110-15.5.22-01, R9110-9.3.6-02
    for (status, sent) in [(403, 403), (426, 400), (200, 500), (204, 500), (101, 500), (302, 302)] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on("foo", move |_: Request<Bytes>| async move {
            let response = Response::builder()
                .status(status)
                .header("connection", "close")
                .header("upgrade", "foo")
                .header("x-more", "1")
                .body(Full::<Bytes>::from("no"));
            Err::<Switch, _>(Rejection::from(response.unwrap()))
        });
        let connections = layer.connections();
        let mut client = serve(&log, layer).await;
        let answer = client.connect("foo").await;
        assert_eq!(answer.status, sent);
        let names: Vec<_> =
            answer.headers.iter().map(|line| line.split(':').next().unwrap()).collect();
        match status {
            101 => assert_eq!(names, [""; 0]),
            _ => assert_eq!(names, ["content-length", "x-more"], "{status}"),
        }
        assert_eq!((connections.stats().rejected, connections.active()), (1, 0));
    }
}

/// hyper removes headers of the connection from its responses, so the layer is asked directly.
#[tokio::test(start_paused = true)]
async fn no_response_of_the_layer_has_headers_of_an_http_1_1_connection() {
    // R9113-8.2.2-01, R9110-8.6-01
    let never = async |_: Request<Bytes>| -> Switch { std::future::pending().await };
    let layer = UpgradeLayer::new()
        .on("foo", async |_: Request<Bytes>| Switch::to(async |_: Upgraded| ()))
        .on("late", never)
        .on("aborted", never)
        .on("panics", async |_: Request<Bytes>| -> Switch { panic!("on purpose") })
        .on("invalid", async |_: Request<Bytes>| {
            Switch::to(async |_: Upgraded| ()).protocols("invalid, foo")
        })
        .on("no", async |_: Request<Bytes>| Err::<Switch, _>(StatusCode::UPGRADE_REQUIRED))
        .extended_connect();
    let full = layer.clone().max_connections(0);
    let drained = layer.clone().with_connections(Connections::default());
    drained.connections().drain();
    let required = layer.clone().required();
    let advertising = layer.clone().advertise();
    for (layer, protocol, status) in [
        (&layer, "foo", 200),
        (&layer, "late", 503),
        (&layer, "panics", 500),
        (&layer, "invalid", 500),
        (&layer, "no", 400),
        (&full, "foo", 503),
        (&drained, "foo", 503),
        (&required, "nope", 501),
        (&advertising, "nope", 200),
        (&layer, "aborted", 503),
    ] {
        let mut request = connect(protocol, "/x", &[]).map(|()| Empty::<Bytes>::new());
        request.extensions_mut().insert(hyper::upgrade::on(Request::new(())));
        let inner =
            service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(String::new())));
        let response = tokio::spawn(layer.clone().layer(inner).oneshot(request));
        if protocol == "aborted" {
            settle().await;
            layer.connections().shutdown(Duration::ZERO).await;
        }
        let response = response.await.unwrap().unwrap();
        assert_eq!(response.status(), status, "{protocol}");
        let headers = response.headers();
        for name in ["connection", "upgrade", "content-length", "transfer-encoding"] {
            assert!(!headers.contains_key(name), "{protocol}: {headers:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_stream_takes_a_place_and_gives_it_back() {
    let log = Log::default();
    let layer = fixture(&log).max_connections(2);
    let connections = layer.connections();
    let mut client = serve(&log, layer).await;
    let (first, mut second) = (client.connect("foo").await, client.connect("foo").await);
    client.connect("foo").await.is(503, &["retry-after: 1"]);
    assert_eq!(connections.active(), 2);
    // One end, and one reset.
    second.tunnel().shutdown().await.unwrap();
    drop(first);
    settle().await;
    assert_eq!(connections.active(), 0);
    assert_eq!(client.connect("foo").await.exchange("x").await, "[x]");
    let stats = connections.stats();
    assert_eq!((stats.switched, stats.at_capacity, stats.failed), (3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_drain_tells_the_handler_and_an_abort_ends_the_stream() {
    let log = Log::default();
    let layer = UpgradeLayer::new()
        .on("polite", |_: Request<Bytes>| async {
            Switch::to(|mut io: Upgraded| async move {
                io.draining().await;
                io.write_all(b"goodbye").await?;
                io.close().await
            })
        })
        .on("deaf", |_: Request<Bytes>| async {
            Switch::to(|io: Upgraded| async move {
                let _held = io;
                std::future::pending::<()>().await;
            })
        });
    let connections = layer.connections();
    let mut client = serve(&log, layer).await;
    let (mut polite, mut deaf) = (client.connect("polite").await, client.connect("deaf").await);
    let shutdown = tokio::spawn({
        let connections = connections.clone();
        async move { connections.shutdown(Duration::from_secs(60)).await }
    });
    assert_eq!(polite.receive().await, ("goodbye".to_owned(), true));
    polite.tunnel().shutdown().await.unwrap();
    client.connect("polite").await.is(503, &[]);
    assert_eq!(deaf.receive().await, (String::new(), false));
    let shutdown = shutdown.await.unwrap();
    assert_eq!((shutdown.finished, shutdown.aborted, connections.active()), (1, 1, 0));
    assert_eq!(deaf.receive().await, (String::new(), true));
    let aborted = "failed deaf Aborted: the connection was aborted, by a shutdown at its deadline or by its handle";
    assert_eq!(log.take(), [aborted]);
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_of_a_stream_are_reported_and_end_it_alone() {
    let log = Log::default();
    let layer = UpgradeLayer::new()
        .on("fails", async |_: Request<Bytes>| {
            Switch::to(async |_: Upgraded| Err::<(), _>("on purpose"))
        })
        .on("panics", async |_: Request<Bytes>| {
            Switch::to(async |_: Upgraded| -> () { panic!("on purpose") })
        })
        .on("foo", echo(&log, "foo"));
    let mut client = serve(&log, layer).await;
    let mut other = client.connect("foo").await;
    for (protocol, kind) in [("fails", "Handler"), ("panics", "Panicked")] {
        let mut answer = client.connect(protocol).await;
        assert_eq!(answer.receive().await, (String::new(), true));
        assert_eq!(log.count(&format!("failed {protocol} {kind}: ")), 1, "{log:?}");
    }
    assert_eq!(other.exchange("x").await, "[x]");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_resets_a_handshake_gives_the_place_back() {
    let log = Log::default();
    let layer =
        UpgradeLayer::new().on("slow", |_: Request<Bytes>| std::future::pending::<Switch>());
    let connections = layer.connections();
    let mut client = serve(&log, layer).await;
    let request = tokio::spawn(client.sending(connect("slow", "/x", &[])));
    settle().await;
    assert_eq!(connections.active(), 1);
    request.abort();
    settle().await;
    assert_eq!(connections.active(), 0);
    let reset = "failed slow Disconnected: the connection was closed before it was switched";
    assert_eq!(log.take(), [reset]);
}

#[tokio::test(start_paused = true)]
async fn downcast_returns_the_stream_unchanged() {
    let log = Log::default();
    let layer = UpgradeLayer::new().on("foo", |_: Request<Bytes>| async {
        Switch::to(|io: Upgraded| async {
            let mut io = io.downcast::<DuplexStream>().unwrap_err();
            let mut bytes = [0; 2];
            io.read_exact(&mut bytes).await?;
            io.write_all(&bytes).await
        })
    });
    let mut client = serve(&log, layer).await;
    assert_eq!(client.connect("foo").await.exchange("NP").await, "NP");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_holds_the_writer_back() {
    // hyper#4049: the stream of a CONNECT once took everything that was written.
    let (sender, written) = oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let log = Log::default();
    let layer = UpgradeLayer::new().on("flood", move |_: Request<Bytes>| {
        let sender = sender.lock().unwrap().take().unwrap();
        async {
            Switch::to(|mut io: Upgraded| async move {
                let mut total = 0;
                let flood = async {
                    loop {
                        total += io.write(&[0; 1024]).await.unwrap();
                    }
                };
                tokio::time::timeout(QUIET, flood).await.unwrap_err();
                sender.send(total).ok();
            })
        }
    });
    let mut client = serve(&log, layer).await;
    let _answer = client.connect("flood").await;
    let written = written.await.unwrap();
    // The client's window, which hyper sets to 2 MiB for a stream, and a few writes in between.
    assert!(written < 4 << 20, "{written}");
}
