//! A chat with rooms in the browser, on axum.
//!
//! - `/` is the page. `/rooms/{room}` is the WebSocket behind it: a handler of axum, with extractors.
//! - A room is created for its first member, and dropped after its last.
//! - Ctrl-C closes each WebSocket with code 1001, and waits for them. The pages reconnect by themselves when
//!   the server is back.
//! - Pages of other origins are rejected. That is the default.
//! - With a certificate and its key, in PEM files, it serves HTTPS: HTTP/2 and HTTP/1.1.
//!   There, all tabs of a browser share one connection: each WebSocket is a stream of it.
//!
//! Run it:
//!
//! ```sh
//! cargo run --example chat --all-features
//! ```
//!
//! and open <http://127.0.0.1:3000/> in two tabs. For a phone in the same network, give the address of
//! your machine, `-- 192.168.1.2:3000` for example, and open that on both. Without a browser:
//!
//! ```sh
//! curl -i http://127.0.0.1:3000/rooms/lobby
//! ```
//!
//! With TLS, here by a certificate that no browser trusts:
//!
//! ```sh
//! openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
//!     -keyout key.pem -out certificate.pem
//! cargo run --example chat --all-features -- 127.0.0.1:3000 certificate.pem key.pem
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

mod connection;
mod message;
mod rooms;
mod tls;

use std::{env, future::IntoFuture, io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{any, get},
    serve::{Listener, ListenerExt},
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tower_upgrade::{BoxError, Connections, Switch, UpgradeLayer, websocket::Offer};

use crate::{rooms::App, tls::TlsListener};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let acceptor = match (arguments.next(), arguments.next()) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(&certificate, &key)?),
        (Some(_), None) => return Err("a certificate needs its key".into()),
        _ => None,
    };
    let listener = TcpListener::bind(address).await?;
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    println!("listening on {scheme}://{}", listener.local_addr()?);
    // Without this, a message may wait for the acknowledgement of the one before it.
    let listener = listener.tap_io(|io| {
        if let Err(error) = io.set_nodelay(true) {
            println!("a connection will be slow: {error:#}");
        }
    });

    let upgrades = UpgradeLayer::new()
        .on_inner("websocket")
        .extended_connect()
        .max_connections(CONNECTIONS)
        .on_failure(|error| println!("{error:#}"));
    let connections = upgrades.connections();
    let app = app(upgrades);
    let server = match acceptor {
        Some(acceptor) => serve(TlsListener::new(listener, acceptor), app, &connections),
        None => serve(listener, app, &connections),
    };

    tokio::signal::ctrl_c().await?;
    println!("closing {} connections", connections.active());
    // axum waits for its HTTP connections only. The layer waits for the upgraded ones.
    let (shutdown, _served) =
        tokio::join!(connections.shutdown(DEADLINE), timeout(DEADLINE, server));
    println!("{} finished, {} aborted", shutdown.finished, shutdown.aborted);
    Ok(())
}

/// Serves the app until a drain.
fn serve<L>(listener: L, app: Router, connections: &Connections) -> JoinHandle<io::Result<()>>
where
    L: Listener<Addr = SocketAddr>,
{
    let server = axum::serve(listener, app).with_graceful_shutdown(connections.draining());
    tokio::spawn(server.into_future())
}

fn app(upgrades: UpgradeLayer) -> Router {
    Router::new()
        .route("/", get(file("text/html; charset=utf-8", include_str!("page/index.html"))))
        .route("/chat.css", get(file("text/css; charset=utf-8", include_str!("page/chat.css"))))
        .route(
            "/chat.js",
            get(file("text/javascript; charset=utf-8", include_str!("page/chat.js"))),
        )
        .route("/rooms/{room}", any(chat))
        .with_state(App::default())
        .layer(upgrades.for_axum())
        // Around everything: a chat runs if and only if its 101 or 200 leaves the server.
        .layer(UpgradeLayer::outermost())
}

/// The decision before the switch. Every extractor and every answer of axum works here.
async fn chat(
    ws: Offer,
    Path(room): Path<String>,
    State(app): State<App>,
) -> Result<Switch, (StatusCode, &'static str)> {
    let room = rooms::tidy(&room).ok_or((StatusCode::BAD_REQUEST, BAD_ROOM))?;
    Ok(ws.switch(move |io, _agreed| connection::run(io, room, app)))
}

fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse + Clone {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The page and the server have to agree on the messages, so no older page may be shown.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

const BAD_ROOM: &str = "the name of a room has 1 to 32 characters\n";

/// The page may load nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Upgraded connections at a time. One more is answered with 503.
const CONNECTIONS: usize = 10_000;
/// How long ctrl-C waits for the pages.
const DEADLINE: Duration = Duration::from_secs(5);
