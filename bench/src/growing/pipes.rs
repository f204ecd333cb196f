//! A server at one end of a pipe, and a client at the other.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    runtime::{Builder, Runtime},
    task::yield_now,
};
use tower::{Layer, service_fn};
use tower_upgrade::UpgradeLayer;

/// One thread, so that counts are exact.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Returns what serves HTTP/1.1 on some IO: the layer, around a service that answers `plain`.
pub(crate) fn server<I>(layer: &UpgradeLayer) -> impl Fn(I) + use<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = layer.layer(service_fn(plain));
    move |io| {
        let service = TowerToHyperService::new(service.clone());
        let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
        tokio::spawn(connection.with_upgrades());
    }
}

/// Returns what serves HTTP/1.1 without a layer.
pub(crate) fn bare() -> impl Fn(DuplexStream) {
    |io| {
        let service = hyper::service::service_fn(plain);
        let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
        tokio::spawn(connection.with_upgrades());
    }
}

async fn plain(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("plain")))
}

/// Sends a request on a new pipe, and reads the head of the answer. Returns the client's end.
pub(crate) async fn ask(
    serve: &impl Fn(DuplexStream),
    request: &[u8],
    capacity: usize,
) -> (DuplexStream, String) {
    let (mut client, server) = tokio::io::duplex(capacity);
    serve(server);
    client.write_all(request).await.unwrap();
    let mut answer = Vec::with_capacity(1024);
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = client.read_buf(&mut answer).await.unwrap();
        assert!(read > 0, "the connection is closed after {:?}", String::from_utf8_lossy(&answer));
    }
    (client, String::from_utf8(answer).unwrap())
}

/// Lets the server see that a client is gone.
pub(crate) async fn settle() {
    for _ in 0..4 {
        yield_now().await;
    }
}
