//! The handler: it switches to TLS, and answers there the request that asked for it.

use std::{cell::Cell, error::Error, io, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request,
    header::{AUTHORIZATION, CONNECTION, COOKIE, PROXY_AUTHORIZATION, TE, UPGRADE},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tower::ServiceExt;
use tower_upgrade::{
    BoxError, Protocol, Rejection, Switch, UpgradeHandler, UpgradeLayer, Upgraded,
};

/// Switches to TLS, and has the app answer every request there.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    app: Router,
}

/// An extension of the requests that are answered inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encrypted {
    /// The request asked for the switch, in clear. Anybody on the way may have read or written it.
    ResponseOnly,
    /// The request came inside TLS.
    Request,
}

impl Tls {
    /// Makes a handler for all versions that [`register`](Self::register) registers it for.
    pub(crate) fn new(mut config: ServerConfig, app: Router) -> Self {
        // rustls rejects a client that offers ALPN without a name of the server's, and no client offers this
        // one. A client that offers ALPN is one for `https:` (see the attack in main.rs).
        config.alpn_protocols = vec![b"no ALPN after an upgrade".to_vec()];
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), app }
    }

    /// Registers the versions that rustls speaks. `TLS/*` would accept any other, and a 426 would list it
    /// without a version.
    pub(crate) fn register(self, layer: UpgradeLayer) -> UpgradeLayer {
        layer.on("TLS/1.3", self.clone()).on("TLS/1.2", self)
    }
}

impl UpgradeHandler for Tls {
    async fn upgrade(&self, request: Request<Bytes>) -> Result<Switch, Rejection> {
        let protocol = request.extensions().get::<Protocol<'static>>();
        let protocol = protocol.expect("the layer adds the protocol to each request");
        // RFC 2817 §3.3: all layers, the lowest first.
        let protocols = format!("{protocol}, HTTP/1.1");
        let (acceptor, app) = (self.acceptor.clone(), self.app.clone());
        let run = |io| run(io, acceptor, app, in_clear(request));
        Ok(Switch::to(run).protocols(protocols))
    }
}

/// Removes from a request everything that is about the connection in clear, and whatever may not be
/// trusted because it came in clear.
fn in_clear(request: Request<Bytes>) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    remove_offer(&mut head.headers);
    for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
        head.headers.remove(name);
    }
    // An outer layer may have concluded from the request who the client is.
    head.extensions.clear();
    head.extensions.insert(Encrypted::ResponseOnly);
    Request::from_parts(head, Body::from(body))
}

/// Removes `Upgrade`, `HTTP2-Settings`, and the options of `Connection` that go with them.
fn remove_offer(headers: &mut HeaderMap) {
    const OPTIONS: [&str; 2] = ["upgrade", "http2-settings"];
    headers.remove(UPGRADE);
    headers.remove("http2-settings");
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let kept: Vec<&str> = values
        .flat_map(|value| value.split(',').map(str::trim))
        .filter(|option| !OPTIONS.iter().any(|offer| option.eq_ignore_ascii_case(offer)))
        .collect();
    let kept = HeaderValue::try_from(kept.join(", ")).ok().filter(|kept| !kept.is_empty());
    headers.remove(CONNECTION);
    headers.extend(kept.map(|kept| (CONNECTION, kept)));
}

/// Runs TLS on the connection until its end.
async fn run(
    mut io: Upgraded,
    acceptor: TlsAcceptor,
    app: Router,
    first: Request<Body>,
) -> Result<(), BoxError> {
    let end = serve(&mut io, acceptor, app, first).await;
    // The last response, or the alert of a handshake that failed, is still on its way.
    io.close().await.ok();
    end
}

async fn serve(
    io: &mut Upgraded,
    acceptor: TlsAcceptor,
    app: Router,
    first: Request<Body>,
) -> Result<(), BoxError> {
    let draining = io.draining();
    let mut tls = timeout(HANDSHAKE, acceptor.accept(io)).await??;

    // hyper answers only requests that it has read, so it reads a stand-in for the first one before it
    // reads from TLS.
    let (reader, writer) = tokio::io::split(&mut tls);
    let reader = io::Cursor::new(stand_in(&first)).chain(reader);
    let io = TokioIo::new(tokio::io::join(reader, writer));
    let first = Cell::new(Some(first));
    let service = service_fn(move |request: Request<Incoming>| {
        let request = first.take().unwrap_or_else(|| in_tls(request));
        app.clone().oneshot(request)
    });
    // With a timer, hyper closes connections that send no request for 30 seconds.
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service);
    let mut connection = pin!(connection);
    let end = tokio::select! {
        end = connection.as_mut() => end,
        () = draining => {
            // A request that is being answered is the last one.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // hyper leaves this out after some requests with an offer.
    tls.shutdown().await.ok();
    end.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error.into()) })
}

/// Makes a request of the same method, with the headers by which hyper decides how to send the response.
fn stand_in(first: &Request<Body>) -> Vec<u8> {
    let mut bytes = format!("{} / HTTP/1.1\r\n", first.method()).into_bytes();
    for name in [CONNECTION, TE] {
        for value in first.headers().get_all(&name) {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
    }
    bytes.extend(b"\r\n");
    bytes
}

fn in_tls(request: Request<Incoming>) -> Request<Body> {
    let mut request = request.map(Body::new);
    // The connection cannot be upgraded again, so no layer of the app may try.
    request.extensions_mut().remove::<OnUpgrade>();
    request.extensions_mut().insert(Encrypted::Request);
    request
}

/// Whether the client left without the end that TLS has for it, as many do. Messages of HTTP have ends of
/// their own.
fn is_gone(error: &hyper::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};

    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind()))
}

/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
