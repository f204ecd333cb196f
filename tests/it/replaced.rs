//! A handler runs on a connection only if its client got this layer's 101. The last tests show the
//! exceptions without `outermost()`, which the crate's documentation names.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONNECTION};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, timeout::ResponseBodyTimeoutLayer,
    trace::TraceLayer,
};
use tower_upgrade::{BoxError, UpgradeBody};

use crate::support::*;

/// The length of the 101 that `FOO` gets, with hyper's `date` line.
const WHOLE_101: usize = 34 + 21 + 14 + 37 + 2;

fn error_that_closes<B>(body: B) -> Response<B> {
    let response = Response::builder().status(500).header(CONNECTION, "close");
    response.body(body).unwrap()
}

/// Serves a handler below an asynchronous layer that looks at each response, and answers with a 500 in
/// its place.
fn replacing(log: &Log, look: fn(&Response<UpgradeBody<Full<Bytes>>>)) -> Wire {
    let upgrade = fixture(log).layer(inner(log));
    Wire::serve(tower::service_fn(move |request| {
        let upgrade = upgrade.clone();
        async move {
            let response = upgrade.oneshot(request).await?;
            look(&response);
            drop(response);
            tokio::task::yield_now().await;
            Ok::<_, BoxError>(error_that_closes(Full::<Bytes>::from("sorry")))
        }
    }))
}

/// Asserts that a client that offers `foo`, and goes on sending, gets a 500 and nothing after it.
async fn assert_only_500(mut wire: Wire, log: &Log) {
    let received = wire.exchange(get(FOO) + "early").await;
    received.starts_with("HTTP/1.1 500").and_ends();
    assert!(!received.text.contains('['), "{received:?}");
    assert_eq!(log.count("foo asked"), 1);
    assert_eq!(log.count("foo runs"), 0, "{log:?}");
    assert_eq!(log.count("failed foo Replaced"), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_101_that_a_layer_replaces_never_starts_the_handler() {
    // hyper hands over the connection after any response to a request with an `Upgrade` header. A
    // handler that only waits for the connection would talk after the 500.
    let log = Log::default();
    let service = fixture(&log)
        .layer(inner(&log))
        .map_response(|_| error_that_closes(Full::<Bytes>::from("sorry")));
    assert_only_500(Wire::serve(service), &log).await;
}

#[tokio::test(start_paused = true)]
async fn a_101_that_an_async_layer_replaces_never_starts_the_handler() {
    let log = Log::default();
    // The layer may look at the response first.
    let wire = replacing(&log, |response| {
        assert_eq!(response.body().size_hint().exact(), Some(0));
    });
    assert_only_500(wire, &log).await;
}

#[tokio::test(start_paused = true)]
async fn a_101_whose_status_a_layer_changes_never_starts_the_handler() {
    let log = Log::default();
    let service = fixture(&log).layer(inner(&log)).map_response(|mut response| {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    });
    assert_only_500(Wire::serve(service), &log).await;
}

#[tokio::test(start_paused = true)]
async fn a_101_whose_body_a_layer_asks_for_its_end_never_starts_the_handler() {
    // A layer asks while the future of the response is alive. A server asks later.
    let log = Log::default();
    let upgrade = fixture(&log).layer(inner(&log));
    let service = tower::service_fn(move |request| {
        let mut future = Box::pin(upgrade.clone().call(request));
        async move {
            let response = future.as_mut().await?;
            assert!(response.body().is_end_stream());
            drop(response);
            drop(future);
            Ok::<_, BoxError>(error_that_closes(Full::<Bytes>::from("sorry")))
        }
    });
    assert_only_500(Wire::serve(service), &log).await;
}

#[tokio::test(start_paused = true)]
async fn a_101_whose_body_an_async_layer_asks_for_its_end_never_starts_the_handler() {
    // A server also asks for the size of a body that has not ended.
    let log = Log::default();
    let wire = replacing(&log, |response| assert!(!response.body().is_end_stream()));
    assert_only_500(wire, &log).await;
}

#[tokio::test(start_paused = true)]
async fn a_101_that_comes_too_late_never_starts_the_handler() {
    let log = Log::default();
    let upgrade = fixture(&log).layer(inner(&log));
    let service = tower::service_fn(move |request| {
        let upgrade = upgrade.clone();
        async move {
            let response = async {
                let response = upgrade.oneshot(request).await;
                sleep(Duration::from_secs(60)).await;
                response
            };
            tokio::select! {
                response = response => response.map(|response| response.map(BodyExt::boxed_unsync)),
                () = sleep(Duration::from_millis(1)) => {
                    let body = Full::<Bytes>::from("late").map_err(|never| match never {});
                    Ok(error_that_closes(body.boxed_unsync()))
                }
            }
        }
    });
    assert_only_500(Wire::serve(service), &log).await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_101_on_a_connection_that_stays_leaves_no_task_behind() {
    let log = Log::default();
    let service =
        fixture(&log).layer(inner(&log)).map_response(|_| Response::new(Full::<Bytes>::from("no")));
    let mut wire = Wire::serve(service);
    wire.exchange(get(FOO)).await.ends_with("no").and_is_open();
    // The report is the last action of the task.
    assert_eq!(log.count("failed foo Replaced"), 1);
    wire.exchange(get("")).await.ends_with("no").and_is_open();
    drop(wire);
    settle().await;
    assert_eq!(log.count("foo runs"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_usual_outer_layers_pass_a_101_on() {
    let log = Log::default();
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new())
        .map_response(|response: Response<_>| response.map(BodyExt::boxed_unsync))
        .layer(fixture(&log))
        .service(inner(&log));
    let headers = format!("{FOO}Accept-Encoding: gzip\r\n");
    let mut wire = Wire::serve(service);
    wire.exchange(get(&headers) + "early").await.is(&(switching("foo") + "[early]")).and_is_open();
    assert_eq!(log.count("failed"), 0);
}

#[tokio::test(start_paused = true)]
async fn below_a_layer_that_hides_the_body_the_handler_does_not_run_and_the_error_says_so() {
    // If a body does not pass on `is_end_stream`, a 101 that is sent looks like one that is dropped.
    let log = Log::default();
    let service = ServiceBuilder::new()
        .layer(ResponseBodyTimeoutLayer::new(Duration::from_secs(60)))
        .layer(fixture(&log))
        .service(inner(&log));
    let mut wire = Wire::serve(service);
    wire.exchange(get(FOO)).await.is(&switching("foo")).and_ends();
    assert_eq!(log.count("foo runs"), 0);
    assert_eq!(log.count("failed foo Replaced"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_before_the_101_never_gets_a_handler() {
    // The pipe holds less than the 101, and the client disconnects instead of reading it.
    for bytes in 1..WHOLE_101 {
        let log = Log::default();
        let mut wire = Wire::serve_with_buffer(fixture(&log).layer(inner(&log)), bytes);
        wire.send(get(FOO)).await;
        settle().await;
        assert_eq!(log.count("foo asked"), 1);
        drop(wire.io);
        settle().await;
        assert_eq!(log.count("foo runs"), 0, "{bytes} bytes: {log:?}");
        assert_eq!(log.count("failed foo Disconnected"), 1, "{bytes} bytes: {log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_gets_the_whole_101_before_the_handler_runs() {
    for bytes in 1..200 {
        let log = Log::default();
        let mut wire = Wire::serve_with_buffer(fixture(&log).layer(inner(&log)), bytes);
        wire.send(get(FOO)).await;
        settle().await;
        assert_eq!(log.count("foo runs"), usize::from(bytes >= WHOLE_101), "{bytes} bytes");
        wire.exchange("N").await.is(&(switching("foo") + "[N]")).and_is_open();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_upgrades_names_the_method_to_call() {
    let log = Log::default();
    let (client, server) = tokio::io::duplex(1 << 16);
    let layer = fixture(&log);
    let connections = layer.connections();
    let service = hyper_util::service::TowerToHyperService::new(layer.layer(inner(&log)));
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(server), service);
    let mut wire = Wire::of(client, connection);
    wire.exchange(get(FOO)).await.and_ends();
    let failures = log.take();
    let failure = failures.iter().find(|event| event.starts_with("failed")).unwrap();
    assert!(failure.starts_with("failed foo NotEnabled"), "{failure}");
    assert!(failure.contains("call `.with_upgrades()`"), "{failure}");
    assert!(!failures.iter().any(|event| event.contains("runs")), "{failures:?}");
    assert_eq!(connections.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_status_without_a_body_in_place_of_the_101_escapes_notice() {
    // hyper drops the body of such a response unpolled, as it drops that of a 101.
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
        let log = Log::default();
        let service = fixture(&log).layer(inner(&log)).map_response(move |mut response| {
            *response.status_mut() = status;
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        });
        Wire::serve(service).exchange(get(FOO)).await;
        assert_eq!(log.count("foo runs"), 1, "if this fails, the documentation can say less");
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_asks_all_that_a_server_asks_escapes_notice() {
    let log = Log::default();
    let mut wire = replacing(&log, |response| {
        assert!(!response.body().is_end_stream());
        assert_eq!(response.body().size_hint().exact(), None);
    });
    wire.exchange(get(FOO)).await.starts_with("HTTP/1.1 500");
    assert_eq!(log.count("foo runs"), 1, "if this fails, the documentation can say less");
}
