//! The `Debug` texts: each names its type, and shows what is configured.

use std::{fmt::Debug, future};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body_util::Full;
use tokio::io::DuplexStream;
use tower::{Layer, Service, ServiceExt};
use tower_upgrade::{
    BoxError, OwnBody, Preference, Protocol, Rejection, Switch, UpgradeErrorKind, UpgradeHandler,
    UpgradeLayer, Upgraded,
};

use crate::support::*;

type Handler = fn(Request<Bytes>) -> future::Ready<Switch>;

fn switch(_request: Request<Bytes>) -> future::Ready<Switch> {
    future::ready(Switch::to(|_io: Upgraded| async {}))
}

#[track_caller]
fn starts(value: &impl Debug, start: &str) {
    let text = format!("{value:?}");
    assert!(text.starts_with(start), "{text} does not start with {start}");
}

#[track_caller]
fn shows(value: &impl Debug, part: &str) {
    let text = format!("{value:?}");
    assert!(text.contains(part), "{text} does not show {part}");
}

async fn ok(_request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
    Ok(Response::new(Full::from("ok")))
}

#[tokio::test]
async fn of_a_layer_and_what_it_makes() {
    let layer = UpgradeLayer::new().on("foo/*", switch);
    starts(&layer, "UpgradeLayer {");
    shows(&layer, "Registration(\"foo/*\")");
    shows(&layer, "OnFailure(unset)");
    shows(&layer, "Connections { active: 0, draining: false, .. }");
    shows(&layer, "Admissions { limits: 0, attach: 0 }");
    let more = layer.clone().on_failure(|_| {}).max_connections_per(|_| Some(1_u8), 1);
    let more = more.attach::<u8>().attach::<u16>();
    shows(&more, "OnFailure(set)");
    shows(&more, "Admissions { limits: 1, attach: 2 }");
    layer.connections().drain();
    shows(&layer.connections(), "Connections { active: 0, draining: true, .. }");

    starts(&layer.layer("inner"), "Upgrade { inner: \"inner\",");
    let mut service = layer.layer(tower::service_fn(ok));
    let answer = service.ready().await.unwrap().call(Request::default());
    starts(&answer, "UpgradeFuture {");
    starts(&answer.await.unwrap().into_body(), "UpgradeBody(Full {");
    let plain = Request::new(Full::<Bytes>::default());
    let service = layer.with_body(|body: OwnBody| body).into_service();
    shows(&service, "inner: NoService { .. }");
    starts(&service.oneshot(plain).await.unwrap().into_body(), "OwnBody(..)");
}

#[tokio::test]
async fn of_an_outermost_layer_and_what_it_makes() {
    let mut service = UpgradeLayer::outermost().layer(tower::service_fn(ok));
    let answer = service.ready().await.unwrap().call(Request::default());
    starts(&answer, "OutermostFuture {");
    starts(&answer.await.unwrap().into_body(), "OutermostBody(Full {");
    shows(&UpgradeLayer::outermost().with_body(|body| body), "Mapped(..)");
}

#[test]
fn of_what_a_handler_is_made_of() {
    starts(&Rejection::from(StatusCode::FORBIDDEN), "Rejection { status: 403,");
    starts(&Switch::to(|_io: Upgraded| async {}), "Switch {");
    starts(&(switch as Handler).when(|_head: &request::Parts| true), "When {");
    starts(&(switch as Handler).with_body_limit(5), "WithBodyLimit {");
    starts(&"foo/1".parse::<Protocol<'_>>().unwrap(), "Protocol {");
    starts(&"f oo".parse::<Protocol<'_>>().unwrap_err(), "InvalidProtocol {");
    starts(&Preference::Server, "Server");
    starts(&UpgradeErrorKind::Handler, "Handler");
}

#[tokio::test(start_paused = true)]
async fn of_a_connection_and_its_parts() {
    let log = Log::default();
    let seen = log.clone();
    let layer = UpgradeLayer::new().on("foo", move |_request: Request<Bytes>| {
        let seen = seen.clone();
        future::ready(Switch::to(move |io: Upgraded| async move {
            seen.push(format!("{:?}", io.connection()));
            seen.push(format!("{io:?}"));
            seen.push(format!("{:?}", io.downcast::<DuplexStream>().unwrap()));
        }))
    });
    Wire::serve(layer.layer(inner(&log))).exchange(get(FOO)).await.is(&switching("foo"));
    let events = log.take();
    let handle = "Connection { id: 0, protocol: Protocol { name: \"foo\", version: None }, path: \
                  \"/x\", draining: false, .. }";
    assert_eq!(events[0], handle);
    assert!(events[1].starts_with("Upgraded {"), "{events:?}");
    assert!(events[2].starts_with("Downcast { io: DuplexStream"), "{events:?}");
}

#[cfg(feature = "websocket")]
#[test]
fn of_origins_and_of_a_websocket() {
    use tower_upgrade::websocket::{Origins, WebSocket};

    shows(&Origins::any(), "Any");
    shows(&Origins::same_host(), "SameHost");
    shows(&Origins::list(["https://a.test"]), "a.test");
    shows(&Origins::matching(|_, _| true), "Matching");
    let socket = WebSocket::new(|_io, _agreed| async {}).origins(Origins::any());
    starts(&socket, "WebSocket { origins: ");
}

#[cfg(feature = "h2c")]
#[test]
fn of_h2c() {
    use tower_upgrade::h2c::{H2c, RequestBody};

    let service = tower::service_fn(|_request: Request<RequestBody>| async {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    });
    let h2c = H2c::new(service).idle_timeout(std::time::Duration::from_secs(7));
    starts(&h2c, "H2c { service: ServiceFn {");
    shows(&h2c, "idle_timeout: Some(7s)");
}

#[cfg(feature = "tunnel")]
#[test]
fn of_a_tunnel() {
    use tower_upgrade::tunnel::{Forwarded, Tunnel};

    let tunnel = Tunnel::new("connector").forwarded(Forwarded::append(|_| None).https());
    starts(&tunnel, "Tunnel {");
    shows(&tunnel, "Forwarded { appends: true, proto: Some(\"https\"), .. }");
}
