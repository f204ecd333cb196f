//! Spans, events and metrics for operators, each under its documented name.

use std::{fmt::Write, future::Future, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::io::AsyncWriteExt;
use tower::Layer;
use tower_http::trace::TraceLayer;
use tower_upgrade::{AtCapacity, Switch, UpgradeHandler, UpgradeLayer, Upgraded};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, Layer as Observe, SubscriberExt},
    registry::LookupSpan,
};

use crate::support::*;

/// Records the events of this crate, such as `INFO upgrade{…}: switched`.
struct Capture(Log);

struct Described(String);

#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            write!(self.others, " {field}={value:?}").unwrap();
        }
    }
}

impl<S> Observe<S> for Capture
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).unwrap();
        let parent = span.parent().map(|parent| format!("{} > ", parent.name()));
        let parent = parent.unwrap_or_default();
        let text = format!("{parent}{}{{{}}}", span.name(), fields.others.trim_start());
        span.extensions_mut().insert(Described(text));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let name = |id| context.span(id).unwrap().name();
        self.0.push(format!("{} follows from {}", name(id), name(follows)));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "tower_upgrade" {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let span = context.event_span(event);
        let span = span.map(|span| span.extensions().get::<Described>().unwrap().0.clone() + ": ");
        let level = event.metadata().level();
        self.0.push(format!(
            "{level} {}{}{}",
            span.unwrap_or_default(),
            fields.message,
            fields.others
        ));
    }
}

/// Runs the future and all tasks that it spawns. Returns the events in order, and the metrics,
/// sorted.
pub(crate) fn observe(test: impl Future<Output = ()>) -> (Vec<String>, Vec<String>) {
    let log = Log::default();
    let subscriber = tracing_subscriber::registry().with(Capture(log.clone()));
    let recorder = DebuggingRecorder::new();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    // Subscriber and recorder are set for this thread.
    tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&recorder, || runtime.block_on(test));
    });
    let snapshot = recorder.snapshotter().snapshot().into_vec().into_iter();
    let metrics = snapshot.map(|(key, _, _, value)| {
        let (_, key) = key.into_parts();
        let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
        let labels: Vec<String> = labels.collect();
        let value = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(value) => value.to_string(),
            DebugValue::Histogram(values) => format!("{values:?}"),
        };
        format!("{}{{{}}} {value}", key.name(), labels.join(","))
    });
    // Connections of other tests count in the gauge, which has tests of its own.
    let metrics = metrics.filter(|line: &String| !line.starts_with("http_upgrades_active"));
    let mut metrics: Vec<String> = metrics.collect();
    metrics.sort();
    (log.take(), metrics)
}

/// Sends a request to a layer around the inner service, closes, and waits until all tasks are idle.
pub(crate) fn observe_one(layer: &UpgradeLayer, request: &str) -> (Vec<String>, Vec<String>) {
    observe(async {
        let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
        wire.exchange(request).await;
        wire.io.shutdown().await.unwrap();
        settle().await;
    })
}

const SPAN: &str = "upgrade{protocol=foo/1 method=GET path=\"/x\"}";

/// Offers `foo/1`.
fn foo_1() -> String {
    get("Connection: upgrade\r\nUpgrade: foo/1\r\n")
}

#[test]
fn a_connection_is_logged_and_counted_from_its_switch_to_its_close() {
    let (events, metrics) = observe(async {
        let layer = UpgradeLayer::new().on("foo/*", echo(&Log::default(), "foo"));
        let service = layer.layer(inner(&Log::default()));
        let mut wire = Wire::serve(TraceLayer::new_for_http().layer(service));
        wire.exchange(foo_1()).await;
        wire.exchange("hello").await;
        wire.io.shutdown().await.unwrap();
        settle().await;
    });
    assert_eq!(
        events,
        [
            // The span is a root, because the request's span ends earlier.
            "upgrade follows from request".to_owned(),
            format!("INFO {SPAN}: switched"),
            format!("INFO {SPAN}: ended duration=2s read=5 written=7"),
        ]
    );
    assert_eq!(
        metrics,
        [
            "http_upgrade_duration_seconds{protocol=foo} [2.0]",
            // The label has no version, because the client chooses it.
            "http_upgrades_total{protocol=foo,outcome=switched} 1",
        ]
    );
}

#[test]
fn a_rejection_is_logged_with_its_status() {
    let layer = UpgradeLayer::new()
        .on("foo/*", |_: Request<Bytes>| async { Err::<Switch, _>(StatusCode::FORBIDDEN) });
    let (events, metrics) = observe_one(&layer, &foo_1());
    assert_eq!(events, [format!("INFO {SPAN}: rejected status=403")]);
    assert_eq!(metrics, ["http_upgrades_total{protocol=foo,outcome=rejected} 1",]);
}

#[test]
fn a_declined_request_is_logged_with_its_reason() {
    let layer = || {
        let never = echo(&Log::default(), "never").when(|_| false);
        UpgradeLayer::new().on("foo/*", echo(&Log::default(), "foo")).on("never", never)
    };
    let full = layer().max_connections(0).at_capacity(AtCapacity::Forward);
    for (reason, layer, request) in [
        ("request", layer(), request("TRACE /x HTTP/1.1", FOO)),
        ("connection", layer(), get("Upgrade: foo\r\n")),
        ("upgrade", layer(), get("Connection: upgrade\r\nUpgrade: foo;\r\n")),
        ("unregistered", layer(), get("Connection: upgrade\r\nUpgrade: bar\r\n")),
        (
            "body",
            layer(),
            post("Connection: upgrade\r\nUpgrade: foo\r\nContent-Length: 1\r\n", "x"),
        ),
        ("unaccepted", layer(), get("Connection: upgrade\r\nUpgrade: never\r\n")),
        ("capacity", full, get(FOO)),
    ] {
        let (events, metrics) = observe_one(&layer, &request);
        let (method, _) = request.split_once(' ').unwrap();
        let event = format!(
            "DEBUG declined reason={reason:?} method={method} path=\"/x\" version=HTTP/1.1"
        );
        assert_eq!(events, [event]);
        assert_eq!(metrics, [format!("http_upgrades_declined_total{{reason={reason}}} 1")]);
    }
}

#[test]
fn an_offer_in_http_1_0_is_logged_and_counted() {
    // The most frequent misconfiguration: nginx speaks HTTP/1.0 to an upstream by default.
    let layer = UpgradeLayer::new().on("foo/*", echo(&Log::default(), "foo"));
    let bytes = request("GET /x HTTP/1.0", "Connection: upgrade\r\nUpgrade: foo\r\n");
    let (events, metrics) = observe_one(&layer, &bytes);
    let event = "DEBUG declined reason=\"request\" method=GET path=\"/x\" version=HTTP/1.0";
    assert_eq!(events, [event]);
    assert_eq!(metrics, ["http_upgrades_declined_total{reason=request} 1"]);
    assert_eq!(layer.connections().stats().declined.request, 1);
}

#[test]
fn a_101_that_is_lost_without_an_outermost_layer_is_an_error_once_per_process() {
    const CHILD: &str = "TOWER_UPGRADE_TEST_CHILD";

    if std::env::var_os(CHILD).is_none() {
        // This process is new, so no other test has lost a 101 in it.
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let name =
            "observed::a_101_that_is_lost_without_an_outermost_layer_is_an_error_once_per_process";
        let output = child.args([name, "--exact"]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let lose = |certain| {
        let (events, _) = observe(async move {
            let layer = UpgradeLayer::new().on("foo/*", echo(&Log::default(), "foo"));
            let service = layer.layer(inner(&Log::default()));
            let service = tower::ServiceExt::map_response(service, |_: Response<_>| {
                Response::new(Full::<Bytes>::from("no"))
            });
            let mut wire = if certain {
                Wire::serve(UpgradeLayer::outermost().layer(service))
            } else {
                Wire::serve(service)
            };
            wire.exchange(foo_1()).await;
        });
        events.concat()
    };
    let text = "the response that switches did not leave the server: an outer layer replaced or dropped it kind=Replaced";
    // With an outermost layer, the configuration is right.
    assert_eq!(lose(true), format!("WARN {SPAN}: {text}"));
    let remedy = " source=a layer may hide the body of the response, which then looks replaced: add \
                  `UpgradeLayer::outermost()` after all other layers";
    assert!(lose(false).starts_with(&format!("ERROR {SPAN}: {text}{remedy}")));
    assert!(lose(false).starts_with(&format!("WARN {SPAN}: {text}{remedy}")));
}

#[cfg(all(feature = "axum", feature = "websocket"))]
#[test]
fn a_handler_that_no_layer_hands_offers_to_is_an_error_in_the_log() {
    use axum::{Router, routing::any};
    use tower_upgrade::websocket::Offer;

    async fn socket(_: Offer) {}
    async fn page_or_socket(_: Option<Offer>) {}

    let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let missing = "ERROR a WebSocket was offered to a handler, and no layer takes its answer: put \
                   `UpgradeLayer::new().on_inner(\"websocket\")` around the routes, with \
                   `extended_connect()` for HTTP/2 method=GET path=\"/x\" version=HTTP/1.1";
    let with_body = format!("{lines}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n");
    for (lines, expected) in
        [(lines, &[missing, missing][..]), ("", &[]), (with_body.as_str(), &[])]
    {
        let (events, _) = observe(async {
            for app in [any(socket), any(page_or_socket)] {
                let mut wire = Wire::serve(Router::new().route("/x", app));
                wire.exchange(get(lines)).await;
            }
        });
        assert_eq!(events, expected, "{lines:?}");
    }
}

#[test]
fn a_request_without_a_place_is_logged_with_the_outcome() {
    let layer = || UpgradeLayer::new().on("foo/*", echo(&Log::default(), "foo"));
    let draining = layer();
    draining.connections().drain();
    for (outcome, layer) in [("drained", draining), ("at_capacity", layer().max_connections(0))] {
        let (events, metrics) = observe_one(&layer, &foo_1());
        let event = "protocol=foo/1 method=GET path=\"/x\"";
        assert_eq!(events, [format!("INFO turned away outcome={outcome:?} {event}")]);
        let total = format!("http_upgrades_total{{protocol=foo,outcome={outcome}}} 1");
        assert_eq!(metrics, [total]);
    }
}

#[test]
fn the_duration_of_a_connection_begins_with_its_switch() {
    let (events, metrics) = observe(async {
        let layer = UpgradeLayer::new().on("foo/*", |_: Request<Bytes>| async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Switch::to(|_io: Upgraded| tokio::time::sleep(Duration::from_secs(3)))
        });
        let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
        wire.send(foo_1()).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    });
    assert_eq!(events[1..], [format!("INFO {SPAN}: ended duration=3s read=0 written=0")]);
    assert_eq!(metrics[0], "http_upgrade_duration_seconds{protocol=foo} [3.0]");
}

#[test]
fn a_handler_that_fails_is_a_warning() {
    let layer = UpgradeLayer::new().on("foo/*", |_: Request<Bytes>| async {
        Switch::to(|mut io: Upgraded| async move {
            io.write_all(b"half").await?;
            Err(std::io::Error::other("out of words"))
        })
    });
    let (events, metrics) = observe_one(&layer, &foo_1());
    assert_eq!(
        events,
        [
            format!("INFO {SPAN}: switched"),
            format!(
                "WARN {SPAN}: the upgraded connection ended with an error kind=Handler source=out of words"
            ),
            format!("INFO {SPAN}: ended duration=0ns read=0 written=4"),
        ]
    );
    assert_eq!(
        metrics,
        [
            "http_upgrade_duration_seconds{protocol=foo} [0.0]",
            "http_upgrades_total{protocol=foo,outcome=failed} 1",
            "http_upgrades_total{protocol=foo,outcome=switched} 1",
        ]
    );
}

#[test]
fn a_handler_that_panics_is_an_error() {
    let before = UpgradeLayer::new().on("foo/*", |_: Request<Bytes>| async {
        panic!("before the switch");
        #[allow(unreachable_code, reason = "it says what the closure is to return")]
        Switch::to(|_: Upgraded| async {})
    });
    let (events, metrics) = observe_one(&before, &foo_1());
    let panicked = format!(
        "ERROR {SPAN}: the handler, or the function on its connection, panicked kind=Panicked source="
    );
    assert_eq!(events, [format!("{panicked}before the switch")]);
    let total = "http_upgrades_total{protocol=foo,outcome=panicked} 1";
    assert_eq!(metrics, [total]);

    let behind = UpgradeLayer::new().on("foo/*", |_: Request<Bytes>| async {
        Switch::to(|io: Upgraded| async move {
            assert!(io.is_draining(), "after the switch");
        })
    });
    let (events, metrics) = observe_one(&behind, &foo_1());
    assert_eq!(events[1], format!("{panicked}after the switch"));
    assert_eq!(events[2], format!("INFO {SPAN}: ended duration=0ns read=0 written=0"));
    assert!(metrics.contains(&total.into()), "{metrics:?}");
}

#[test]
fn a_handshake_that_takes_too_long_is_a_warning() {
    let late = UpgradeLayer::new().handshake_timeout(Duration::from_millis(10)).on(
        "foo/*",
        |_: Request<Bytes>| async {
            std::future::pending::<()>().await;
            Switch::to(|_: Upgraded| async {})
        },
    );
    let (events, metrics) = observe_one(&late, &foo_1());
    let text = "the handshake took longer than `handshake_timeout` kind=TimedOut source=deadline has elapsed";
    assert_eq!(events, [format!("WARN {SPAN}: {text}")]);
    let total = "http_upgrades_total{protocol=foo,outcome=timed_out} 1";
    assert_eq!(metrics, [total]);
}

#[test]
fn an_abort_is_a_warning() {
    let (events, metrics) = observe(async {
        let layer = UpgradeLayer::new().on("foo/*", echo(&Log::default(), "foo"));
        let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
        wire.exchange(foo_1()).await;
        layer.connections().shutdown(Duration::ZERO).await;
    });
    let text =
        "the connection was aborted, by a shutdown at its deadline or by its handle kind=Aborted";
    assert_eq!(events[1], format!("WARN {SPAN}: {text}"));
    assert_eq!(events.len(), 3, "{events:?}");
    let total = "http_upgrades_total{protocol=foo,outcome=aborted} 1";
    assert!(metrics.contains(&total.into()), "{metrics:?}");
}

#[test]
fn a_limit_of_time_has_an_outcome_of_its_own() {
    let second = Duration::from_secs(1);
    let echoing = || UpgradeLayer::new().on("foo/*", echo(&Log::default(), "foo"));
    for (outcome, layer) in [
        ("idle", echoing().idle_timeout(second)),
        ("expired", echoing().max_lifetime(second).lifetime_grace(second)),
    ] {
        let (_, metrics) = observe(async {
            let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
            wire.exchange(foo_1()).await;
            tokio::time::sleep(3 * second).await;
        });
        let total = format!("http_upgrades_total{{protocol=foo,outcome={outcome}}} 1");
        assert!(metrics.contains(&total), "{metrics:?}");
    }
}

#[cfg(feature = "tunnel")]
#[test]
fn an_upstream_that_fails_has_an_outcome_of_its_own() {
    let tunnel = tower_upgrade::tunnel::Tunnel::new(|_head| async {
        Err::<tokio::io::DuplexStream, _>(std::io::Error::other("no"))
    });
    let (_, metrics) = observe_one(&UpgradeLayer::new().on("foo/*", tunnel), &foo_1());
    assert_eq!(metrics, ["http_upgrades_total{protocol=foo,outcome=upstream_failed} 1"]);
}

#[test]
fn a_panic_is_one_even_if_the_connection_was_aborted_before() {
    let layer = UpgradeLayer::new().on("foo/*", |_: Request<Bytes>| async {
        Switch::to(|io: Upgraded| async move {
            io.connection().abort();
            assert!(io.is_draining(), "after the abort");
        })
    });
    let (events, _) = observe_one(&layer, &foo_1());
    assert!(events[1].ends_with("panicked kind=Panicked source=after the abort"), "{events:?}");
    let stats = layer.connections().stats();
    assert_eq!((stats.panicked, stats.aborted), (1, 0));
}

#[test]
fn a_request_that_has_to_upgrade_is_logged_and_counted() {
    let layer = UpgradeLayer::new().on("foo/*", echo(&Log::default(), "foo")).required();
    let (events, metrics) = observe_one(&layer, &get(&format!("{CU}Upgrade: nope\r\n")));
    let expected = [
        "DEBUG declined reason=\"unregistered\" method=GET path=\"/x\" version=HTTP/1.1",
        "DEBUG upgrade required status=426 method=GET path=\"/x\" version=HTTP/1.1",
    ];
    assert_eq!(events, expected);
    let expected =
        ["http_upgrades_declined_total{reason=unregistered} 1", "http_upgrades_required_total{} 1"];
    assert_eq!(metrics, expected);
}

/// Sends a request of HTTP/2, extended CONNECTs if `connects`, and an upgrade of HTTP/1.1, twice.
fn upgrade_beside_http_2(layer: &UpgradeLayer, connects: bool, upgrade: &str) -> Vec<String> {
    use crate::extended_connect::support::Client;

    let (events, _) = observe(async {
        for _ in 0..2 {
            let mut client = Client::serve(layer.layer(inner(&Log::default()))).await;
            client.send(Request::get("http://a.test/x").body(()).unwrap()).await;
            if connects {
                client.connect("foo").await;
            }
            let offer = get(&format!("{CU}Upgrade: {upgrade}\r\n"));
            Wire::serve(layer.layer(inner(&Log::default()))).exchange(offer).await;
        }
    });
    events.into_iter().filter(|event| event.starts_with("WARN")).collect()
}

#[test]
fn a_server_that_does_not_announce_extended_connect_is_warned_of_once() {
    let log = Log::default();
    let layer = || UpgradeLayer::new().on("foo", echo(&log, "foo")).on("h2c", echo(&log, "h2c"));
    let warning = "WARN clients speak HTTP/2 and upgrade on other connections: if the server does not \
                   announce extended CONNECT, call `enable_connect_protocol()` on hyper's or hyper-util's \
                   HTTP/2 builder";
    assert_eq!(upgrade_beside_http_2(&layer().extended_connect(), false, "foo"), [warning]);
    assert_eq!(upgrade_beside_http_2(&layer().extended_connect(), true, "foo"), [""; 0]);
    assert_eq!(upgrade_beside_http_2(&layer(), false, "foo"), [""; 0]);
    // No client would offer h2c, or what nobody takes, in HTTP/2.
    for upgrade in ["h2c", "nope"] {
        assert_eq!(upgrade_beside_http_2(&layer().extended_connect(), false, upgrade), [""; 0]);
    }
}

#[test]
fn an_upgrade_over_http_2_has_the_same_events_and_metrics() {
    use crate::extended_connect::support::Client;

    let layer = UpgradeLayer::new().on("foo", echo(&Log::default(), "foo")).extended_connect();
    let (events, metrics) = observe(async {
        let mut client = Client::serve(layer.layer(inner(&Log::default()))).await;
        let mut answer = client.connect("foo").await;
        answer.exchange("NP").await;
        answer.tunnel().shutdown().await.unwrap();
        settle().await;
    });
    let span = "upgrade{protocol=foo method=CONNECT path=\"/x\"}";
    let events: Vec<_> = events.iter().filter(|event| event.starts_with("INFO")).collect();
    assert_eq!(events[0], &format!("INFO {span}: switched"));
    assert!(events[1].starts_with(&format!("INFO {span}: ended duration=")), "{events:?}");
    assert!(events[1].ends_with(" read=2 written=4"), "{events:?}");
    assert!(metrics.contains(&"http_upgrades_total{protocol=foo,outcome=switched} 1".into()));
}
