//! A development proxy: upgrades go through a tunnel, and all other requests through hyper-util's
//! client.
//!
//! - `Upgrade: websocket` is tunnelled, in HTTP/2 as well. So a Vite or webpack server keeps its hot reload
//!   behind it.
//! - `Upgrade: tcp` is tunnelled, as Docker's `attach` and `exec` use it.
//! - Every other offer is removed, and the request is proxied as plain HTTP.
//!
//! Run it with the address to listen on, and the upstream:
//!
//! ```sh
//! cargo run --example tunnel --all-features -- 127.0.0.1:3000 http://127.0.0.1:5173
//! ```
//!
//! Ctrl-C ends each WebSocket with 1001 and waits for them, 10 seconds at most.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{convert::Infallible, env, error::Error, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Request, Response, StatusCode, Uri, Version,
    header::{self, CONNECTION},
};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_upgrade::{UpgradeLayer, tunnel::Tunnel};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Err(
            "usage: tunnel LISTEN UPSTREAM, such as 127.0.0.1:3000 http://127.0.0.1:5173".into()
        );
    };
    let tunnel = Tunnel::to(&upstream)?;
    let upstream = Uri::try_from(upstream)?;
    if upstream.path() != "/" {
        return Err("the upstream is a scheme, a host and a port, without a path".into());
    }
    let layer = UpgradeLayer::new()
        .on("websocket", tunnel.clone().close_websocket_on_drain())
        .on("tcp", tunnel)
        .extended_connect()
        .strip()
        .on_failure(|error| println!("{}: {error:#}", error.protocol()));
    let connections = layer.connections();

    let client = Client::builder(TokioExecutor::new()).build_http();
    let service = TowerToHyperService::new(
        layer.layer(service_fn(move |request| proxy(client.clone(), upstream.clone(), request))),
    );

    let listener = TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // On a worker of the runtime: the thread of `main` would have to wake one for each connection.
    let server = tokio::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // The process is probably out of descriptors, until a connection is closed.
                    println!("cannot accept: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            if let Err(error) = stream.set_nodelay(true) {
                println!("a connection will be slow: {error}");
            }
            let service = service.clone();
            tokio::spawn(async move {
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http2().enable_connect_protocol();
                let io = TokioIo::new(stream);
                if let Err(error) = builder.serve_connection_with_upgrades(io, service).await {
                    println!("a connection ended early: {error}");
                }
            });
        }
    });
    tokio::signal::ctrl_c().await?;
    server.abort();
    let shutdown = connections.shutdown(Duration::from_secs(10)).await;
    println!("{} connections finished, {} were aborted", shutdown.finished, shutdown.aborted);
    Ok(())
}

/// Sends a plain request on, and its response back.
async fn proxy(
    client: Client<HttpConnector, Incoming>,
    upstream: Uri,
    mut request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    let mut target = upstream.into_parts();
    target.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;
    remove_hop_by_hop(request.headers_mut());
    match client.request(request).await {
        Ok(mut response) => {
            remove_hop_by_hop(response.headers_mut());
            Ok(response.map(BodyExt::boxed))
        }
        Err(error) => {
            println!("the upstream failed: {error}");
            let text = Full::from("the upstream does not answer\n").map_err(|never| match never {});
            let mut response = Response::new(text.boxed());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(response)
        }
    }
}

/// Removes the headers of one connection, RFC 9110 §7.6.1.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let lines: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
    let named = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    for name in named.filter_map(|name| name.trim().parse::<HeaderName>().ok()) {
        headers.remove(name);
    }
    for name in
        [CONNECTION, header::TE, header::TRAILER, header::TRANSFER_ENCODING, header::UPGRADE]
    {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}
