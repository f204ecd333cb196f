//! An upstream behind TLS, which the connector opens.

use std::sync::Arc;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer},
    server::TlsStream,
};

use super::*;
use crate::tls::certified;

/// A tunnel whose connector does the TLS handshake, and trusts this certificate alone.
fn tunnel(
    trusted: Option<CertificateDer<'static>>,
    opens: mpsc::UnboundedSender<DuplexStream>,
) -> Tunnel<impl Connect + Clone> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let service = tower::service_fn(move |url: Uri| {
        let (ours, theirs) = tokio::io::duplex(4096);
        opens.send(theirs).unwrap();
        let connecting =
            connector.connect(url.host().unwrap().to_owned().try_into().unwrap(), ours);
        async { connecting.await.map(TokioIo::new) }
    });
    Tunnel::with_connector("https://a.test/app", service).unwrap()
}

async fn receive(io: &mut TlsStream<DuplexStream>, len: usize) -> String {
    let mut bytes = vec![0; len];
    io.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_carries_an_upgrade_inside_tls() {
    let (certificate, config) = certified();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (opens, mut opened) = mpsc::unbounded_channel();
    let layer = layer(tunnel(Some(certificate), opens), &Log::default());
    let mut client = Wire::serve(layer.layer(inner(&Log::default())));
    client.send(get(FOO)).await;
    let mut upstream = acceptor.accept(opened.recv().await.unwrap()).await.unwrap();
    let expected = up("GET /app/x", "", "foo");
    assert_eq!(receive(&mut upstream, expected.len()).await, expected);

    // The first bytes are in the record of the 101.
    let message = "x".repeat(100_000);
    let early = switching("foo") + "hello";
    upstream.write_all(early.as_bytes()).await.unwrap();
    upstream.flush().await.unwrap();
    client.receive().await.is(&early).and_is_open();

    // More than a record and more than the pipe hold, up and down.
    let (mut from_client, mut to_client) = tokio::io::split(client.io);
    let (mut from_tunnel, mut to_tunnel) = tokio::io::split(upstream);
    let (mut went_up, mut went_down) = (Vec::new(), Vec::new());
    let (up, down) = tokio::join!(
        async {
            to_client.write_all(message.as_bytes()).await.unwrap();
            to_client.shutdown().await.unwrap();
            to_tunnel.write_all(message.as_bytes()).await.unwrap();
            to_tunnel.shutdown().await
        },
        async {
            // The end of the client's bytes arrives as `close_notify`, or this fails.
            from_tunnel.read_to_end(&mut went_up).await.unwrap();
            from_client.read_to_end(&mut went_down).await
        }
    );
    up.unwrap();
    down.unwrap();
    assert!(went_up == message.as_bytes() && went_down == message.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_not_trusted_gets_no_request() {
    let (_, config) = certified();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (opens, mut opened) = mpsc::unbounded_channel();
    let failures = Log::default();
    let layer = layer(tunnel(None, opens), &failures);
    let mut client = Wire::serve(layer.layer(inner(&Log::default())));
    client.send(get(FOO)).await;
    let accepted = acceptor.accept(opened.recv().await.unwrap()).await;
    assert!(accepted.is_err());
    let expected = failed("502 Bad Gateway", "cannot connect to the upstream");
    client.receive().await.is(&expected).and_is_open();
    assert_eq!(failures.take(), ["foo Upstream Connect"]);
}
