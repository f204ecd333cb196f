//! One server of each peer: `server PEER`.
//!
//! - `GET /` answers `plain`.
//! - `GET /ws` with `Upgrade: websocket` echoes messages.
//! - `Upgrade: echo/1` echoes bytes, where the peer takes other protocols than WebSocket.
//!
//! Each runs on one thread, except actix's, which has a second one that accepts connections. It prints
//! where it listens. For every line that it reads it then prints how often it has allocated, and how many
//! bytes it holds. It ends with its input.

use std::{
    alloc::System,
    env,
    io::{self, Write},
    process, thread,
};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::net::TcpListener;

mod actix;
mod axum;
mod echo;
mod fastwebsockets;
mod h2c;
mod hyper;
mod hyper_tungstenite;
#[cfg(feature = "rama")]
mod rama;
mod this;
mod warp;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let peer = env::args().nth(1).unwrap_or_default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("listening on http://{}", listener.local_addr()?);
    thread::spawn(answer);
    if peer == "actix-ws" {
        return Ok(actix::serve(listener)?);
    }
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        match peer.as_str() {
            "hyper" => hyper::serve(listener).await,
            "this-hyper" => this::on_hyper(listener).await,
            "this-axum" => this::on_axum(listener).await,
            "h2c" => h2c::serve(listener).await,
            "axum" => axum::serve(listener, false).await,
            "axum-small-buffers" => axum::serve(listener, true).await,
            "hyper-tungstenite" => hyper_tungstenite::serve(listener, false).await,
            "hyper-tungstenite-small-buffers" => hyper_tungstenite::serve(listener, true).await,
            "fastwebsockets" => fastwebsockets::serve(listener).await,
            "warp" => warp::serve(listener).await,
            #[cfg(feature = "rama")]
            "rama" => rama::serve(listener).await,
            _ => Err(format!("no server for {peer:?}").into()),
        }
    })
}

/// Answers each line of the input, and ends the program with it.
fn answer() {
    let mut line = String::with_capacity(16);
    while io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {
        line.clear();
        let stats = ALLOCATOR.stats();
        let allocations = stats.allocations + stats.reallocations;
        println!("{allocations} {}", stats.bytes_allocated - stats.bytes_deallocated);
        if io::stdout().flush().is_err() {
            break;
        }
    }
    process::exit(0);
}
