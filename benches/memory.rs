//! The memory of an idle upgraded connection, with this crate and with hyper alone.
//!
//! Both serve the same pipes in the same program, and both run the same handler, which waits for a byte
//! that does not come. The program counts the allocated bytes while all tasks are idle, so the figures
//! are the same on every machine. It fails if the difference is 640 bytes or more.
//!
//! The difference includes the list of connections, in which each has its control block, so that it can be
//! found and ended. With limits of time, each connection has a timer as well.
//!
//! ```sh
//! cargo bench --bench memory
//! cargo bench --bench memory --all-features
//! ```
#![allow(clippy::print_stdout, reason = "a measurement talks to its reader")]
#![allow(missing_docs, reason = "nothing is exported")]

use std::{convert::Infallible, error::Error, io, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tower::Layer;
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

type Never<B> = Result<Response<B>, Infallible>;

fn main() -> Result<(), Box<dyn Error>> {
    let bare = || {
        measure(|server| {
            let service = service_fn(bare);
            let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
            tokio::spawn(connection.with_upgrades());
        })
    };
    let layered = |layer: &UpgradeLayer| {
        let service = TowerToHyperService::new(layer.layer(tower::service_fn(plain)));
        measure(|server| {
            let service = service.clone();
            let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
            tokio::spawn(connection.with_upgrades());
        })
    };
    let layer = UpgradeLayer::new()
        .on("quiet", |_request: Request<Bytes>| async { Switch::to(|io: Upgraded| quiet(io)) });
    let (hyper, this) = (bare()?, layered(&layer)?);
    let day = Duration::from_secs(24 * 60 * 60);
    let limited = layered(&layer.clone().max_lifetime(day).idle_timeout(day))?;
    println!("bytes for each of {CONNECTIONS} idle upgraded connections");
    println!("hyper alone          {hyper:>6}");
    println!("this crate           {this:>6}");
    println!("with limits of time  {limited:>6}");
    println!("difference           {:>6}", this - hyper);
    if this - hyper < LIMIT { Ok(()) } else { Err(format!("{LIMIT} or more").into()) }
}

/// Serves connections, upgrades all of them, and returns the bytes that each then holds.
fn measure(serve: impl Fn(DuplexStream)) -> io::Result<i64> {
    // One thread, because allocations are counted for each thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut clients = Vec::with_capacity(CONNECTIONS + 1);
    // A first connection, for everything that is allocated once.
    runtime.block_on(connect(&mut clients, &serve, 1))?;
    let mut connected = Ok(());
    let counted = allocation_counter::measure(|| {
        connected = runtime.block_on(connect(&mut clients, &serve, CONNECTIONS));
    });
    connected?;
    Ok(counted.bytes_current / i64::try_from(CONNECTIONS).map_err(io::Error::other)?)
}

async fn connect(
    clients: &mut Vec<DuplexStream>,
    serve: &impl Fn(DuplexStream),
    connections: usize,
) -> io::Result<()> {
    for _ in 0..connections {
        let (mut client, server) = tokio::io::duplex(1024);
        serve(server);
        client.write_all(REQUEST).await?;
        let mut byte = [0];
        let mut answer = Vec::with_capacity(1024);
        while !answer.ends_with(b"\r\n\r\n!") {
            client.read_exact(&mut byte).await?;
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        clients.push(client);
    }
    Ok(())
}

/// Sends one byte, and waits for a byte that does not come.
async fn quiet(mut io: impl AsyncRead + tokio::io::AsyncWrite + Unpin) -> io::Result<()> {
    io.write_all(b"!").await?;
    io.read_u8().await.map(drop)
}

/// An upgrade with hyper alone: no negotiation, no limit, no count.
async fn bare(mut request: Request<Incoming>) -> Never<Empty<Bytes>> {
    let on_upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(io) = on_upgrade.await {
            quiet(TokioIo::new(io)).await.ok();
        }
    });
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("quiet"));
    Ok(response)
}

async fn plain(_request: Request<Incoming>) -> Never<Empty<Bytes>> {
    Ok(Response::new(Empty::new()))
}

const CONNECTIONS: usize = 1_000;
const LIMIT: i64 = 640;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\
    Host: localhost\r\n\
    Connection: upgrade\r\n\
    Upgrade: quiet\r\n\r\n";
