//! A chat in the browser, on axum.
//!
//! - `/` is the page, `/chat` the WebSocket behind it; without the offer of one, `/chat` answers
//!   in plain HTTP.
//! - Ctrl-C tells the pages that the server goes away, with close code 1001, and waits for them.
//!   They come back when the server does.
//! - Pages of other origins are refused, which is the default.
//!
//! Run it, with another address than `127.0.0.1:3000` if you like:
//!
//! ```sh
//! cargo run --example chat --features websocket -- 127.0.0.1:3000
//! ```
//!
//! and open <http://127.0.0.1:3000/> in two tabs, or ask from another terminal:
//!
//! ```sh
//! curl http://127.0.0.1:3000/chat
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

mod connection;
mod room;

use std::{env, error::Error, io, sync::Arc, time::Duration};

use axum::{Router, http::header, response::IntoResponse, routing::get, serve::ListenerExt};
use tokio::net::TcpListener;
use tower_upgrade::{
    UpgradeHandler, UpgradeLayer, Upgraded,
    websocket::{Handshake, WebSocket},
};

use crate::room::Room;

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // A message would wait for the acknowledgement of the one before it.
    let listener = listener.tap_io(|io| {
        if let Err(error) = io.set_nodelay(true) {
            println!("a connection will be slow: {error}");
        }
    });

    let room = Arc::new(Room::new());
    let websocket =
        WebSocket::new(move |io: Upgraded, _: Handshake| connection::run(io, Arc::clone(&room)));
    let layer = UpgradeLayer::new()
        .on("websocket", websocket.when(|head| head.uri.path() == "/chat"))
        .on_failure(|error| match error.source() {
            Some(source) => println!("{error}: {source}"),
            None => println!("{error}"),
        });
    let connections = layer.connections();
    let signal = connections.clone();
    let serve = axum::serve(listener, app(layer)).with_graceful_shutdown(async move {
        if let Err(error) = tokio::signal::ctrl_c().await {
            println!("ctrl-c goes unnoticed: {error}");
            std::future::pending::<()>().await;
        }
        println!("going away");
        signal.drain();
    });
    let all_ended = async {
        // axum waits for its HTTP connections only: those that were switched are the layer's.
        serve.await?;
        connections.drained().await;
        Ok(())
    };
    let deadline = async {
        connections.draining().await;
        tokio::time::sleep(DEADLINE).await;
    };
    tokio::select! {
        ended = all_ended => ended,
        () = deadline => Err(io::Error::new(io::ErrorKind::TimedOut, "some connections did not end")),
    }
}

fn app(layer: UpgradeLayer) -> Router {
    Router::new()
        .route("/", get(file("text/html; charset=utf-8", include_str!("page/index.html"))))
        .route("/chat.css", get(file("text/css; charset=utf-8", include_str!("page/chat.css"))))
        .route(
            "/chat.js",
            get(file("text/javascript; charset=utf-8", include_str!("page/chat.js"))),
        )
        .route("/chat", get("The chat is a WebSocket: open / in a browser.\n"))
        .layer(layer)
}

fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse + Clone {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The page and the server have to agree on the messages, so no older one may be shown.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

/// What the page may load: nothing that is not from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How long ctrl-c waits for the clients.
const DEADLINE: Duration = Duration::from_secs(5);
