//! A graceful shutdown without loss: the server stops listening, tells its connections to end, and waits for
//! them.
//!
//! - `/ws` echoes WebSocket messages. On SIGTERM or ctrl-C the handler sends a close frame with
//!   code 1001 and finishes the close handshake.
//! - `/stuck` does the same, and ignores the signal: it is aborted at the deadline.
//! - A connection that offers HTTP/2 continues in it, and ends with GOAWAY.
//! - `/healthz` answers 200, and 503 once the drain has begun, for a load balancer.
//! - `GET /connections` lists the upgraded connections as JSON, and `DELETE /connections/{id}` tells one of
//!   them to end.
//! - During the drain, a new WebSocket gets a 503 and `Connection: close`. Other requests are answered until
//!   the server exits, offers of HTTP/2 in HTTP/1.1.
//! - With the feature `tracing`, `RUST_LOG` sets the level of the log. With `metrics`, `/metrics` has the
//!   metrics.
//!
//! Run it. The arguments are the address, the deadline in seconds, and the seconds over which the drain is
//! spread:
//!
//! ```sh
//! RUST_LOG=info cargo run --example graceful --all-features -- 127.0.0.1:3000 10 5
//! ```
//!
//! connect from another terminal, and press ctrl-C in the first:
//!
//! ```sh
//! npx --yes wscat --connect ws://127.0.0.1:3000/ws
//! curl --http2 -v http://127.0.0.1:3000/
//! curl http://127.0.0.1:3000/connections
//! curl -X DELETE http://127.0.0.1:3000/connections/1
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

mod echo;
mod listener;
mod operators;
mod telemetry;

use std::{
    env,
    future::{Future, IntoFuture},
    io,
    time::Duration,
};

use axum::{Router, extract::State, routing::get, serve::ListenerExt};
use http::StatusCode;
use tokio::{
    net::TcpListener,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tower_upgrade::{
    BoxError, Connections, Shutdown, UpgradeHandler, UpgradeLayer, h2c::H2c, websocket::WebSocket,
};

use crate::listener::UntilDrained;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let deadline = Duration::from_secs(arguments.next().map_or(Ok(10), |text| text.parse())?);
    let spread = Duration::from_secs(arguments.next().map_or(Ok(0), |text| text.parse())?);

    telemetry::log();
    let metrics = telemetry::metrics()?;
    // From here on a signal is noticed, even one that comes before anybody waits for it.
    let signal = signal()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let connections = Connections::new();
    let app = Router::new()
        .route("/", get(|| async { "Open a WebSocket at /ws.\n" }))
        .route("/healthz", get(health))
        .merge(operators::routes())
        .with_state(connections.clone())
        .merge(metrics);
    let layer = UpgradeLayer::new()
        .with_connections(connections.clone())
        .on("h2c", H2c::new(app.clone()))
        .on("websocket", WebSocket::new(echo::polite).when(|head| head.uri.path() == "/ws"))
        .on("websocket", WebSocket::new(echo::stuck).when(|head| head.uri.path() == "/stuck"));

    // Small messages would wait for the acknowledgement of the ones before them.
    let listener = UntilDrained::new(listener, connections.clone()).tap_io(|io| {
        io.set_nodelay(true).ok();
    });
    let stop = CancellationToken::new();
    // Around the router: on it, the path parameters of the first request would be in the extensions of
    // every later stream.
    let service = UpgradeLayer::outermost().for_axum().layer(layer.for_axum().layer(app));
    let server = axum::serve(listener, service.into_make_service())
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let server = tokio::spawn(server.into_future());

    signal.await;
    let until = Instant::now() + deadline;
    // The server goes on meanwhile. If it were told first it would close the HTTP connections that
    // are idle, and a request in flight would get no answer.
    let Shutdown { finished, aborted, .. } = connections.shutdown_over(spread, deadline).await;
    stop.cancel();
    // Only requests that are being answered can be left.
    timeout_at(until.max(Instant::now() + LAST_ANSWERS), server).await.ok();
    println!("{finished} finished, {aborted} aborted");
    Ok(())
}

async fn health(State(connections): State<Connections>) -> (StatusCode, &'static str) {
    if connections.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

/// Waits for SIGTERM or ctrl-C.
#[cfg(unix)]
fn signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Waits for ctrl-C.
#[cfg(not(unix))]
fn signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        tokio::signal::ctrl_c().await.ok();
    })
}

/// How long requests that are being answered at the deadline may still take.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
