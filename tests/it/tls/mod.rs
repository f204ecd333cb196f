//! TLS by upgrade: the handler of the example `tls`, with a client of rustls. The ids are those of the
//! rules of RFC 2817.

mod attacks;
mod connections;
#[path = "../../../examples/tls/upgrade.rs"]
mod upgrade;

use std::{convert::Infallible, sync::Arc};

use ::axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::TRAILER};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::upgrade::OnUpgrade;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
        version::{TLS12, TLS13},
    },
};
use tower::Layer;
use tower_upgrade::UpgradeLayer;

use self::upgrade::{Encrypted, Tls};
use crate::support::*;

/// Returns a certificate for `a.test`, and the settings of a server that has it.
pub(crate) fn certified() -> (CertificateDer<'static>, ServerConfig) {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = CertificateDer::from(made.cert);
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    (certificate, config)
}

/// A server with a certificate that its clients trust.
struct Server {
    log: Log,
    config: ServerConfig,
    certificate: CertificateDer<'static>,
}

impl Server {
    fn new() -> Self {
        let (certificate, config) = certified();
        Self { log: Log::default(), config, certificate }
    }

    fn handler(&self) -> Tls {
        Tls::new(self.config.clone(), app(&self.log))
    }

    fn layer(&self) -> UpgradeLayer {
        let failures = self.log.clone();
        let layer = UpgradeLayer::new().on_failure(move |error| failures.push(describe(&error)));
        self.handler().register(layer)
    }

    fn connect(&self) -> Wire {
        self.connect_to(&self.layer())
    }

    fn connect_to(&self, layer: &UpgradeLayer) -> Wire {
        Wire::serve(layer.layer(app(&self.log)))
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// Sends a request in clear, which has to be switched, and does the handshake.
    async fn switch(&self, wire: Wire, request: &str) -> Secure {
        self.switch_with(wire, request, self.client(&TLS13)).await
    }

    async fn switch_with(&self, mut wire: Wire, request: &str, client: ClientConfig) -> Secure {
        wire.exchange(request).await.starts_with(SWITCHED).ends_with("\r\n\r\n").and_is_open();
        Secure::handshake(wire.io, client).await.unwrap()
    }
}

/// The client's end of a connection inside TLS.
struct Secure(TlsStream<DuplexStream>);

impl Secure {
    async fn handshake(io: DuplexStream, client: ClientConfig) -> std::io::Result<Self> {
        let connector = TlsConnector::from(Arc::new(client));
        connector.connect("a.test".try_into().unwrap(), io).await.map(Self)
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Returns what the server sends. It may not end without the `close_notify` of TLS.
    async fn receive(&mut self) -> Received {
        let mut bytes = Vec::new();
        let mut ended = false;
        while !ended {
            let Ok(read) = timeout(QUIET, self.0.read_buf(&mut bytes)).await else { break };
            ended = read.unwrap() == 0;
        }
        Received { text: without_date(&bytes), ended }
    }

    async fn exchange(&mut self, text: &str) -> Received {
        self.send(text).await;
        self.receive().await
    }
}

/// Logs each request with the way it came, its headers without `host`, and its body.
fn app(log: &Log) -> Router {
    let log = log.clone();
    Router::new().fallback(move |request: Request<Body>| async move {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let how = match head.extensions.get::<Encrypted>() {
            None => "clear",
            Some(Encrypted::ResponseOnly) => "TLS, from clear",
            Some(Encrypted::Request) => "TLS",
        };
        let mut event = format!("{how}: {} {}", head.method, head.uri);
        for (name, value) in head.headers.iter().filter(|(name, _)| *name != "host") {
            event.extend([" ", name.as_str(), "=", value.to_str().unwrap()]);
        }
        event.push_str(&String::from_utf8_lossy(&body));
        if how != "clear" && head.extensions.get::<OnUpgrade>().is_some() {
            event.push_str(" upgradable");
        }
        if head.extensions.get::<attacks::User>().is_some() {
            event.push_str(" with a user");
        }
        log.push(event);
        match head.uri.path() {
            "/trailers" => {
                let trailers = HeaderMap::from_iter([(X_SUM, HeaderValue::from_static("1"))]);
                let frames = [Frame::data(Bytes::from("ok")), Frame::trailers(trailers)];
                let frames = stream::iter(frames.map(Ok::<_, Infallible>));
                let body = Body::new(StreamBody::new(frames));
                Response::builder().header(TRAILER, X_SUM).body(body).unwrap()
            }
            _ => Response::new(Body::from("ok")),
        }
    })
}

fn offer(tls: &str) -> String {
    get(&format!("{CU}Upgrade: {tls}\r\n"))
}

const X_SUM: HeaderName = HeaderName::from_static("x-sum");

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\n";

/// The response of the app.
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
