//! Upgrades by hand on hyper, with the checks that a handshake cannot do without.

use std::convert::Infallible;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use http_body_util::Full;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::{Service, service_fn},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::net::TcpListener;

use crate::{Result, echo};

pub(crate) async fn serve(listener: TcpListener) -> Result<()> {
    accept(listener, service_fn(by_hand)).await
}

/// Serves HTTP/1.1 by hyper, for this and other peers.
pub(crate) async fn accept<S, B>(listener: TcpListener, service: S) -> Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    loop {
        let (io, _) = listener.accept().await?;
        io.set_nodelay(true)?;
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(io), service.clone())
            .with_upgrades();
        // A client that goes away in the middle ends its connection only.
        tokio::spawn(async move { connection.await.ok() });
    }
}

/// The response to a plain request.
pub(crate) fn plain() -> Response<Full<Bytes>> {
    Response::new(Full::from("plain"))
}

async fn by_hand(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers = request.headers();
    let upgrade = headers.get(UPGRADE).map_or(&b""[..], HeaderValue::as_bytes);
    if upgrade.eq_ignore_ascii_case(b"websocket") && request.uri().path() == "/ws" {
        let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
        let Some(accept) = headers.get(SEC_WEBSOCKET_KEY).filter(|_| version).and_then(accept_of)
        else {
            return Ok(bad_request());
        };
        let mut response = switch(&mut request, "websocket", echo::messages);
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
        return Ok(response);
    }
    if upgrade == b"echo/1" {
        return Ok(switch(&mut request, "echo/1", echo::bytes));
    }
    Ok(plain())
}

fn switch<F>(
    request: &mut Request<Incoming>,
    protocol: &'static str,
    run: fn(TokioIo<Upgraded>) -> F,
) -> Response<Full<Bytes>>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move { run(TokioIo::new(upgraded.await?)).await });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol));
    response
}

fn accept_of(key: &HeaderValue) -> Option<HeaderValue> {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    HeaderValue::try_from(BASE64_STANDARD.encode(hash.finalize())).ok()
}

fn bad_request() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
