//! A handler runs on a stream only if its client got this layer's 200.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
use tower_upgrade::{BoxError, UpgradeBody, UpgradeLayer};

use super::{
    connect,
    support::{Answer, Client},
};
use crate::support::*;

type Boxed = Response<UnsyncBoxBody<Bytes, BoxError>>;

fn boxed<B>(body: B) -> UnsyncBoxBody<Bytes, BoxError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

type Change = fn(Response<UpgradeBody<Full<Bytes>>>) -> Boxed;

/// Serves the fixture below a layer that changes each response, perhaps with an outermost layer around.
async fn answer(log: &Log, change: Change, outermost: bool) -> Answer {
    let service = fixture(log).extended_connect().layer(inner(log)).map_response(change);
    let mut client = if outermost {
        Client::serve(UpgradeLayer::outermost().layer(service)).await
    } else {
        Client::serve(service).await
    };
    let answer = client.connect("foo").await;
    settle().await;
    answer
}

#[tokio::test(start_paused = true)]
async fn a_200_that_leaves_the_server_runs_the_handler() {
    let changes: [(Change, bool); 6] = [
        (|response| response.map(boxed), true),
        // A body that drops the inner one when it has ended.
        (|response| response.map(|body| boxed(body.fuse())), true),
        (
            |mut response| {
                response.headers_mut().insert("x-more", HeaderValue::from_static("1"));
                response.map(boxed)
            },
            true,
        ),
        // Layers that give each response a length, or options for its connection.
        (
            |mut response| {
                for (name, value) in [("content-length", "0"), ("connection", "close")] {
                    response.headers_mut().insert(name, HeaderValue::from_static(value));
                }
                response.map(boxed)
            },
            true,
        ),
        // Layers that lose or rebuild the body need the outermost layer.
        (|response| response.map(|_| boxed(Full::default())), false),
        (|response| Response::from_parts(response.into_parts().0, boxed(Full::default())), false),
    ];
    for (at, (change, works_alone)) in changes.into_iter().enumerate() {
        for outermost in [true, false] {
            let log = Log::default();
            let mut answer = answer(&log, change, outermost).await;
            assert_eq!(answer.status, 200);
            assert!(!answer.headers.iter().any(|line| line.starts_with("upgrade")), "{at}");
            if outermost || works_alone {
                assert_eq!(answer.exchange("NP").await, "[NP]", "{at} {outermost}");
            } else {
                assert_eq!(answer.receive().await, (String::new(), true));
                let remedy = "add `UpgradeLayer::outermost()` after all other layers";
                let failure = log.take().pop().unwrap();
                assert!(
                    failure.starts_with("failed foo Replaced: ") && failure.ends_with(remedy),
                    "{failure}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_response_in_its_place_never_runs_the_handler() {
    fn other(status: StatusCode, text: &'static str) -> Boxed {
        Response::builder().status(status).body(boxed(Full::from(text))).unwrap()
    }
    let changes: [Change; 7] = [
        |_| other(StatusCode::OK, "a page"),
        |_| other(StatusCode::OK, ""),
        |_| other(StatusCode::NO_CONTENT, ""),
        |_| other(StatusCode::INTERNAL_SERVER_ERROR, "sorry"),
        // In place.
        |mut response| {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response.map(boxed)
        },
        |mut response| {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.map(boxed)
        },
        |response| other(StatusCode::BAD_GATEWAY, "").map(|_| boxed(response.into_body())),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        for outermost in [true, false] {
            let log = Log::default();
            let service = fixture(&log).extended_connect().layer(inner(&log)).map_response(change);
            let mut client = if outermost {
                Client::serve(UpgradeLayer::outermost().layer(service)).await
            } else {
                Client::serve(service).await
            };
            // A 101 is reset.
            client.send_raw(connect("foo", "/x", &[])).await.ok();
            settle().await;
            assert_eq!(log.count("foo asked"), 1);
            assert_eq!(log.count("foo runs"), 0, "{at} {outermost}: {log:?}");
            assert_eq!(log.count("failed foo Replaced"), 1, "{at} {outermost}: {log:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_around_the_outermost_one_is_noticed() {
    let log = Log::default();
    let service = fixture(&log).extended_connect().layer(inner(&log));
    let service = UpgradeLayer::outermost().layer(service).map_response(|response| {
        drop(response);
        Response::new(Full::<Bytes>::from("a page"))
    });
    Client::serve(service).await.connect("foo").await;
    settle().await;
    let failure = log.take().pop().unwrap();
    assert!(failure.starts_with("failed foo Replaced: "), "{failure}");
    assert!(failure.contains("a layer is around `UpgradeLayer::outermost()`"), "{failure}");
}

/// A layer may send each request twice, as one that retries or hedges does, and answer with one of the
/// responses.
#[tokio::test(start_paused = true)]
async fn two_switches_for_one_request_refuse_each_other() {
    // S-26
    for answered in [0, 1] {
        let log = Log::default();
        let plain = service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let upgrade = fixture(&log).extended_connect().layer(plain);
        let twice = service_fn(move |request: Request<Incoming>| {
            let upgrade = upgrade.clone();
            async move {
                let (head, _) = request.into_parts();
                let mut responses = Vec::new();
                for head in [head.clone(), head] {
                    let request = Request::from_parts(head, Full::default());
                    responses.push(upgrade.clone().oneshot(request).await?);
                }
                Ok::<_, Infallible>(responses.swap_remove(answered))
            }
        });
        let twice = BoxCloneService::new(twice);
        let mut client = Client::serve(UpgradeLayer::outermost().layer(twice)).await;
        client.connect("foo").await.is(503, &[]);
        settle().await;
        assert_eq!((log.count("foo asked"), log.count("foo runs")), (2, 0), "{answered}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_200_is_not_worth_compressing() {
    let log = Log::default();
    let service = fixture(&log).extended_connect().layer(inner(&log));
    let service = tower_http::compression::CompressionLayer::new().layer(service);
    let mut client = Client::serve(service).await;
    let mut answer = client.send(connect("foo", "/x", &[("accept-encoding", "gzip")])).await;
    answer.is(200, &[]);
    assert_eq!(answer.exchange("NP").await, "[NP]");
}

#[tokio::test(start_paused = true)]
async fn another_status_replaces_the_200_even_if_its_body_is_never_read() {
    let log = Log::default();
    let service = fixture(&log).extended_connect().layer(inner(&log));
    let service = BoxCloneService::new(service.map_response(|mut response| {
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }));
    let (client, server) = tokio::io::duplex(1 << 16);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.enable_connect_protocol();
    tokio::spawn(builder.serve_connection(TokioIo::new(server), TowerToHyperService::new(service)));
    // Without a window hyper asks the body whether it has ended, and does not read it.
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let (mut sender, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    settle().await;
    let request = connect("foo", "/x", &[]).map(|()| http_body_util::Empty::<Bytes>::new());
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    drop(response);
    settle().await;
    assert_eq!((log.count("foo runs"), log.count("failed")), (0, 1), "{log:?}");
    assert_eq!(log.count("failed foo Replaced"), 1, "{log:?}");
}
