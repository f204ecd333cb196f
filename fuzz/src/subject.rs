//! The server with the layer.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE},
    request,
};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
use tower_upgrade::{
    AtCapacity, Connections, Preference, Protocol, Rejection, Switch, UpgradeErrorKind,
    UpgradeHandler, UpgradeLayer, Upgraded,
};

use crate::{
    input::{Answer, Handler, Outer, Run, Setup},
    naive,
    runtime::EXPECTED_PANIC,
    service::{self, Boxed, Event, Head, Log, Served, boxed},
};

/// The parts that are visible from outside.
pub struct Subject {
    pub service: Served,
    pub connections: Connections,
    pub failures: Arc<Mutex<Vec<UpgradeErrorKind>>>,
}

/// Makes the layer that an input asks for, around the inner service.
pub fn layer(setup: &Arc<Setup>, log: &Log) -> Subject {
    let failures = Arc::<Mutex<Vec<_>>>::default();
    let mut layer = UpgradeLayer::new();
    for (index, registration) in setup.registrations.iter().enumerate() {
        layer = match registration.handler.clone() {
            None => layer.on_inner(registration.pattern.0),
            Some(handler) => {
                layer.on(registration.pattern.0, Logged { handler, index, log: log.clone() })
            }
        };
    }
    if setup.server_preference {
        layer = layer.preference(Preference::Server);
    }
    for (is_set, set) in [
        (setup.required, UpgradeLayer::required as fn(UpgradeLayer) -> UpgradeLayer),
        (setup.advertise, UpgradeLayer::advertise),
        (setup.strip, UpgradeLayer::strip),
        (setup.extended_connect, UpgradeLayer::extended_connect),
        (setup.forward_at_capacity, |layer| layer.at_capacity(AtCapacity::Forward)),
        (setup.full, |layer| layer.max_connections(0)),
    ] {
        if is_set {
            layer = set(layer);
        }
    }
    let failed = Arc::clone(&failures);
    let layer = layer.on_failure(move |error| failed.lock().unwrap().push(error.kind()));
    let connections = layer.connections();
    if setup.draining {
        connections.drain();
    }
    let replaces = setup.outer == Outer::Replaces;
    let service = layer.layer(inner(setup, log)).map_response(move |response| {
        if replaces && response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return replaced();
        }
        without_explanation(response.map(boxed))
    });
    let service = if setup.outermost {
        let service = UpgradeLayer::outermost().layer(service);
        BoxCloneService::new(service.map_response(|response| response.map(boxed)))
    } else {
        BoxCloneService::new(service)
    };
    Subject { service, connections, failures }
}

/// The response of an outer layer that replaces a 101.
pub fn replaced() -> Response<Boxed> {
    let replaced = Response::builder().status(500).header(CONNECTION, "close");
    replaced.body(boxed(Full::from("replaced"))).expect("a response")
}

/// The text that demands an upgrade is meant for people, so it is not compared.
fn without_explanation(mut response: Response<Boxed>) -> Response<Boxed> {
    let is_demand = [405, 426, 501, 505].contains(&response.status().as_u16());
    if !is_demand || !response.headers().contains_key(CONTENT_TYPE) {
        return response;
    }
    // `HeaderMap::remove` would change the order.
    let headers = std::mem::take(response.headers_mut());
    for (name, value) in &headers {
        if name != CONTENT_TYPE {
            response.headers_mut().append(name, value.clone());
        }
    }
    response.map(|_text| boxed(Full::default()))
}

type Inner = BoxCloneService<Request<Incoming>, Response<Full<Bytes>>, Infallible>;

fn inner(setup: &Arc<Setup>, log: &Log) -> Inner {
    let (setup, log) = (Arc::clone(setup), log.clone());
    BoxCloneService::new(service_fn(move |request: Request<Incoming>| {
        let (setup, log) = (Arc::clone(&setup), log.clone());
        async move {
            let asked = request.extensions().get::<Protocol<'static>>().is_some();
            let uri = request.uri().to_string();
            let response = service::inner(&setup, &log, request).await;
            Ok(if asked && setup.inner_agrees {
                switch(setup.inner_run, &log, uri).into_response()
            } else {
                response
            })
        }
    }))
}

fn switch(run: Run, log: &Log, uri: String) -> Switch {
    let log = log.clone();
    Switch::to(move |io: Upgraded| {
        let protocol = io.protocol().to_string();
        service::talk(run, log, protocol, uri, io)
    })
}

struct Logged {
    handler: Handler,
    index: usize,
    log: Log,
}

impl UpgradeHandler for Logged {
    fn accepts(&self, head: &request::Parts, _protocol: &Protocol<'_>) -> bool {
        !self.handler.only_even || naive::is_even(head)
    }

    fn body_limit(&self) -> usize {
        self.handler.body_limit.into()
    }

    fn is_optional(&self) -> bool {
        self.handler.optional
    }

    fn reads_chunked_body(&self) -> bool {
        self.handler.chunked
    }

    async fn upgrade(&self, request: Request<Bytes>) -> Result<Switch, Rejection> {
        let (head, body) = request.into_parts();
        let (head, body) = (Head::of(&head), body.to_vec());
        let uri = head.uri.clone();
        self.log.push(Event::Asked { index: self.index, head, body });
        service::wait(self.handler.delay).await;
        match self.handler.answer {
            Answer::Switch(run) => Ok(switch(run, &self.log, uri)),
            Answer::Reject(status) => {
                Err(StatusCode::from_u16(status.code()).expect("a status").into())
            }
            Answer::Panic => std::panic::panic_any(EXPECTED_PANIC),
        }
    }
}
