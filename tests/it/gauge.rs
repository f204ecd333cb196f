//! The gauge of active connections, which is set and not added to.
//!
//! All layers of the process share it, so that each test has a protocol of its own.

use std::{
    convert::Infallible,
    future,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tower::{Layer, Service};
use tower_upgrade::{Connections, Switch, UpgradeLayer, Upgraded};

use crate::support::*;

/// Notes each value that the gauge of active connections is set to.
#[derive(Clone, Default)]
struct Gauges {
    log: Log,
    /// Is asked for its counts whenever a gauge is set.
    connections: Option<Connections>,
    /// Runs before the first value is noted, as another thread could.
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

impl GaugeFn for Gauges {
    fn increment(&self, _: f64) {
        self.log.push("incremented");
    }

    fn decrement(&self, _: f64) {
        self.log.push("decremented");
    }

    fn set(&self, value: f64) {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        self.log.push(value.to_string());
        if let Some(connections) = &self.connections {
            self.log.push(format!("of {}", connections.stats().active + connections.list().len()));
        }
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(self.clone()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn layer(protocol: &str) -> UpgradeLayer {
    UpgradeLayer::new().on(protocol, |_: Request<Bytes>| {
        future::ready(Switch::to(|io: Upgraded| async move { io.draining().await }))
    })
}

async fn open(layer: &UpgradeLayer, protocol: &str) -> Wire {
    let mut wire = Wire::serve(layer.layer(inner(&Log::default())));
    let headers = format!("{CU}Upgrade: {protocol}\r\n");
    wire.exchange(get(&headers)).await.is(&switching(protocol));
    wire
}

/// Runs a future on a runtime of its own, with paused time.
fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap().block_on(test);
}

#[test]
fn a_recorder_that_comes_late_is_right_after_the_next_change() {
    let layer = layer("gauge-late");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let wires = runtime
        .block_on(async { [open(&layer, "gauge-late").await, open(&layer, "gauge-late").await] });
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        runtime.block_on(async {
            // Two that it has not seen, and one that it has.
            let third = open(&layer, "gauge-late").await;
            layer.connections().list()[0].drain();
            settle().await;
            layer.connections().drain();
            settle().await;
            drop((wires, third));
        });
    });
    assert_eq!(gauges.log.take(), ["3", "2", "1", "0"]);
}

#[test]
fn the_connections_of_all_layers_add_up() {
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        run(async {
            let layers = [layer("gauge-all/1"), layer("gauge-all/2")];
            let _wires =
                (open(&layers[0], "gauge-all/1").await, open(&layers[1], "gauge-all/2").await);
            layers[0].connections().drain();
            settle().await;
            layers[1].connections().drain();
            settle().await;
        });
    });
    assert_eq!(gauges.log.take(), ["1", "2", "1", "0"]);
}

#[test]
fn a_recorder_may_ask_for_the_counts() {
    let layer = layer("gauge-asks");
    let gauges = Gauges { connections: Some(layer.connections()), ..Gauges::default() };
    metrics::with_local_recorder(&gauges, || {
        run(async {
            let _wire = open(&layer, "gauge-asks").await;
            layer.connections().drain();
            settle().await;
        });
    });
    // The place is returned after its end is reported.
    assert_eq!(gauges.log.take(), ["1", "of 2", "0", "of 2"]);
}

#[test]
fn a_number_that_has_changed_meanwhile_is_set_again() {
    let inner = tower::service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut service = layer("gauge-twice").layer(inner);
    let mut begin = move || {
        let request = Request::get("/x").header("connection", "upgrade");
        let request = request.header("upgrade", "gauge-twice").body(Empty::new()).unwrap();
        let (mut head, body) = request.into_parts();
        // As hyper does.
        head.extensions.insert(hyper::upgrade::on(Request::new(())));
        service.call(Request::from_parts(head, body))
    };
    let gauges = Gauges::default();
    let (mut other, held) = (begin.clone(), Arc::new(Mutex::new(None)));
    let holds = Arc::clone(&held);
    let meanwhile = move || *holds.lock().unwrap() = Some(other());
    *gauges.meanwhile.lock().unwrap() = Some(Box::new(meanwhile));
    metrics::with_local_recorder(&gauges, || {
        let handshake = begin();
        // The other one has set its number first.
        assert_eq!(gauges.log.take(), ["2", "1", "2"]);
        drop((handshake, held.lock().unwrap().take()));
        assert_eq!(gauges.log.take(), ["1", "0"]);
    });
}

#[test]
fn at_the_end_of_many_connections_on_many_threads_the_gauge_is_zero() {
    // Each thread has its recorder, and all of them set the same gauge.
    let last = Gauges::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                metrics::with_local_recorder(&last, || {
                    run(async {
                        let layer = layer("gauge-many");
                        for _ in 0..50 {
                            let wires = (
                                open(&layer, "gauge-many").await,
                                open(&layer, "gauge-many").await,
                            );
                            drop(wires);
                            for connection in layer.connections().list() {
                                connection.drain();
                            }
                            settle().await;
                        }
                    });
                });
            });
        }
    });
    let values = last.log.take();
    assert_eq!(values.last().unwrap(), "0");
    assert!(values.len() >= 800 && values.contains(&"2".into()));
}
