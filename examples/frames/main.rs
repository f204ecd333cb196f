//! The same WebSocket handler four times, each with another framing crate. A request to the path
//! runs the handler of that name in `echo.rs`, which shows how the crate is given an `Upgraded`.
//!
//! | path | crate | settings that matter | choose it for |
//! |---|---|---|---|
//! | `/tokio-websockets` | tokio-websockets | none | strictness: every case of Autobahn is OK; reading can be cancelled, so it works in `select!` |
//! | `/tungstenite` | tokio-tungstenite | `read_buffer_size`: each read fills 128 KiB with zeros by default | the most widely used API, in clients and servers |
//! | `/fastwebsockets` | fastwebsockets | `FragmentCollector`, or fragments are returned one by one | the least work for each message; a read that is cancelled loses bytes |
//! | `/yawc` | yawc, feature `zlib` | `with_limits`: 1 MiB by default; `with_compression_threshold(1)`, or an empty message may block a thread for ever | permessage-deflate |
//!
//! `deflate.rs` answers the client's offers of compression. The argument `measure` compares the speed of the
//! crates instead, and exits.
//!
//! Run it, with another address than `127.0.0.1:3000` if you like:
//!
//! ```sh
//! cargo run --example frames --features websocket -- 127.0.0.1:3000
//! cargo run --release --example frames --features websocket -- measure
//! ```
//!
//! and talk to it from another terminal:
//!
//! ```sh
//! npx wscat --connect ws://127.0.0.1:3000/tokio-websockets
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

mod deflate;
mod echo;
mod measure;

use std::{env, error::Error, io};

use axum::{Router, serve::ListenerExt};
use tokio::net::TcpListener;
use tower_upgrade::{BoxError, UpgradeHandler, UpgradeLayer, websocket::WebSocket};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let argument = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    if argument == "measure" {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(serve(listener));
        return measure::run(address).await;
    }
    let listener = TcpListener::bind(argument).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = serve(listener) => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    let layer = UpgradeLayer::new()
        .on("websocket", at("/tungstenite", WebSocket::new(echo::tungstenite)))
        .on("websocket", at("/tokio-websockets", WebSocket::new(echo::tokio_websockets)))
        .on("websocket", at("/fastwebsockets", WebSocket::new(echo::fastwebsockets)))
        .on("websocket", at("/yawc", WebSocket::new(echo::yawc).agree_extensions(deflate::agree)))
        .on_failure(|error| match error.source() {
            Some(source) => println!("{error}: {source}"),
            None => println!("{error}"),
        });
    // Small messages would wait for the acknowledgement of the ones before them.
    let listener = listener.tap_io(|io| {
        if let Err(error) = io.set_nodelay(true) {
            println!("a connection will be slow: {error}");
        }
    });
    let plain = || async { "Open a WebSocket at one of the paths.\n" };
    axum::serve(listener, Router::new().fallback(plain).layer(layer)).await
}

/// The handler of one path.
fn at(path: &'static str, websocket: WebSocket) -> impl UpgradeHandler {
    websocket.when(move |head| head.uri.path() == path)
}
