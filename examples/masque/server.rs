//! The server of both examples: hyper-util's `auto` builder, so HTTP/1.1 and HTTP/2 on one port.

use std::{env, error::Error, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_upgrade::{BoxError, UpgradeLayer};

use super::{elsewhere::elsewhere, proxy::Proxy};

/// Serves until ctrl-C. The first argument is the address to listen on, and each other one is an address
/// that clients may reach.
pub(crate) async fn serve(layer: impl FnOnce(Proxy) -> UpgradeLayer) -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let allowed = arguments.map(|address| address.parse()).collect::<Result<_, _>>()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let layer = layer(Proxy { allowed, ..Proxy::default() })
        .extended_connect()
        // Each tunnel has a socket of its own.
        .max_connections(1000)
        .on_failure(|error| match error.source() {
            Some(source) => println!("{}: {error}: {source}", error.protocol()),
            None => println!("{}: {error}", error.protocol()),
        });
    let connections = layer.connections();
    let service = TowerToHyperService::new(layer.layer(service_fn(elsewhere)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = tokio::signal::ctrl_c() => break,
        };
        let stream =
            match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => stream,
                Err(error) => {
                    // The process is probably out of descriptors, until a tunnel is closed.
                    println!("cannot accept: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
        let service = service.clone();
        tokio::spawn(async move {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            // Without it, clients do not send an extended CONNECT.
            builder.http2().enable_connect_protocol();
            let io = TokioIo::new(stream);
            if let Err(error) = builder.serve_connection_with_upgrades(io, service).await {
                println!("a connection ended early: {error}");
            }
        });
    }
    drop(listener);
    let shutdown = connections.shutdown(Duration::from_secs(10)).await;
    println!("{} tunnels finished, {} aborted", shutdown.finished, shutdown.aborted);
    Ok(())
}
