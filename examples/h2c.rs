//! HTTP/2 in cleartext for every client that can speak it, HTTP/1.1 for the others.
//!
//! - HTTP/1.1, h2c by upgrade and HTTP/2 with prior knowledge are served on one port.
//! - Every request is answered with a line: `METHOD PATH VERSION BODY-BYTES`.
//! - The service is named twice: for HTTP/1.1, and for the streams of upgraded connections.
//! - `/bytes/N` is answered with N bytes.
//! - On ctrl-C the server drains for up to 10 seconds; a second argument sets another number.
//!
//! Run it with
//!
//! ```text
//! cargo run --features h2c --example h2c -- 127.0.0.1:3000
//! ```
//!
//! and type in another terminal:
//!
//! ```text
//! curl --http1.1 http://127.0.0.1:3000/one
//! curl --http2 -d hello http://127.0.0.1:3000/two
//! curl --http2-prior-knowledge http://127.0.0.1:3000/three
//! nghttp -nuv http://127.0.0.1:3000/four
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to its reader")]

use std::{convert::Infallible, env, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, signal, time};
use tower::{Layer, service_fn};
use tower_upgrade::{
    BoxError, UpgradeLayer,
    h2c::{H2c, RequestBody, RequestBodyLayer},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let deadline = Duration::from_secs(arguments.next().map_or(Ok(10), |text| text.parse())?);
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let app = service_fn(answer);
    let layer = UpgradeLayer::new()
        .on("h2c", H2c::new(app))
        .on_failure(|error| eprintln!("{error}: {:?}", std::error::Error::source(&error)));
    let connections = layer.connections();
    let service = TowerToHyperService::new(layer.layer(RequestBodyLayer::new().layer(app)));
    let server = auto::Builder::new(TokioExecutor::new());

    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = signal::ctrl_c() => break,
        };
        let io = match accepted {
            Ok((io, _)) => io,
            Err(error) => {
                // Too many open files, for one, gets better when connections have ended.
                eprintln!("cannot accept: {error}");
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Without it, a small answer may wait for the client to acknowledge the one before.
        if let Err(error) = io.set_nodelay(true) {
            eprintln!("connection: {error}");
            continue;
        }
        let (server, service) = (server.clone(), service.clone());
        tokio::spawn(async move {
            let io = TokioIo::new(io);
            if let Err(error) = server.serve_connection_with_upgrades(io, service).await {
                eprintln!("connection: {error}");
            }
        });
    }
    drop(listener);
    let shutdown = connections.shutdown(deadline).await;
    println!("{} finished, {} aborted", shutdown.finished, shutdown.aborted);
    Ok(())
}

/// Reads the body, and answers with a line about the request, or with as many bytes as the path says.
async fn answer(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut body) = request.into_parts();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => {
                let mut response = Response::new(Full::from(format!("{error}\n")));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                return Ok(response);
            }
        }
    }
    let path = head.uri.path();
    let bytes = path.strip_prefix("/bytes/").and_then(|bytes| bytes.parse().ok());
    let body = match bytes {
        Some(bytes) => vec![b'x'; MOST.min(bytes)],
        None => format!("{} {path} {:?} {read}\n", head.method, head.version).into_bytes(),
    };
    Ok(Response::new(Full::from(body)))
}

const MOST: usize = 64 * 1024 * 1024;
