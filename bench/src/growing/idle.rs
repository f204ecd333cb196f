//! Idle connections: what one of them holds, and what everything else costs beside them.

use std::{convert::Infallible, io, pin::pin, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, HOST, UPGRADE},
    request,
};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    runtime::Runtime,
};
use tower_upgrade::{Connections, Switch, UpgradeLayer, Upgraded};

use crate::{
    meter::count,
    pipes::{ask, runtime, server, settle},
};

/// Opens the connections, and counts what is done beside them, and their end.
pub(crate) fn run(who: &str, connections: usize) {
    let day = Duration::from_hours(24);
    let polite = UpgradeLayer::new().on("echo", async |_: Request<Bytes>| Switch::to(leave));
    let layer = match who {
        "hand" => return by_hand(connections),
        "stubborn" => UpgradeLayer::new().on("echo", async |_: Request<Bytes>| Switch::to(echo)),
        "limited" => polite.max_lifetime(day).idle_timeout(day),
        "layer" | "spread" => polite,
        _ => panic!("{who}"),
    };
    let all = layer.connections();
    let runtime = runtime();
    let serve = server(&layer);
    // Kept open until their end is counted.
    let mut clients = open(&runtime, &serve, connections);
    assert_eq!(all.active(), connections + 1);
    beside(&runtime, &serve, &mut clients[connections / 2]);
    look(&all, connections);
    match who {
        "layer" | "limited" => count("drain", connections, || {
            runtime.block_on(async {
                all.drain();
                all.drained().await;
            });
        }),
        "spread" => count("spread", connections, || {
            let (spread, deadline) = (Duration::from_secs(10), Duration::from_mins(1));
            let shutdown = runtime.block_on(all.shutdown_over(spread, deadline));
            assert_eq!(shutdown.aborted, 0);
        }),
        _ => count("abort", connections, || {
            // It waits for a second, which is less than callgrind needs for the end of so many.
            let shutdown = runtime.block_on(all.shutdown(Duration::ZERO));
            assert_eq!(shutdown.aborted, connections + 1);
            runtime.block_on(all.drained());
        }),
    }
    assert_eq!(all.active(), 0);
}

/// Opens 10,000 connections, of so many keys.
pub(crate) fn keys(keys: usize) {
    // A copy: a clone of the value would keep the 8 KiB that hyper has read the request into.
    let host = |head: &request::Parts| head.headers.get(HOST).map(|it| it.as_bytes().to_vec());
    let layer = UpgradeLayer::new()
        .on("echo", async |_: Request<Bytes>| Switch::to(leave))
        .max_connections_per(host, 20_000);
    let (runtime, serve) = (runtime(), server(&layer));
    let mut clients = Vec::with_capacity(KEYED);
    count("open", KEYED, || {
        for connection in 0..KEYED {
            let request = REQUEST.replace("a.test", &format!("{:08}.test", connection % keys));
            clients.push(runtime.block_on(ask(&serve, request.as_bytes(), 1024)).0);
        }
    });
    runtime.block_on(handshake(&serve));
    count("handshake", HANDSHAKES, || {
        for _ in 0..HANDSHAKES {
            runtime.block_on(handshake(&serve));
        }
    });
}

fn by_hand(connections: usize) {
    let runtime = runtime();
    let serve = |io: DuplexStream| {
        let service = service_fn(switch_by_hand);
        let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
        tokio::spawn(connection.with_upgrades());
    };
    let mut clients = open(&runtime, &serve, connections);
    beside(&runtime, &serve, &mut clients[connections / 2]);
}

/// An upgrade with hyper alone: no negotiation, no limit, no count.
async fn switch_by_hand(
    mut request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let on_upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(io) = on_upgrade.await {
            echo(TokioIo::new(io)).await.ok();
        }
    });
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
    Ok(response)
}

/// Opens one connection for all that is allocated once, and then the others.
fn open(runtime: &Runtime, serve: &impl Fn(DuplexStream), connections: usize) -> Vec<DuplexStream> {
    let mut clients = Vec::with_capacity(connections + 1);
    clients.push(runtime.block_on(connect(serve)));
    count("open", connections, || {
        runtime.block_on(async {
            for _ in 0..connections {
                clients.push(connect(serve).await);
            }
        });
    });
    clients
}

async fn connect(serve: &impl Fn(DuplexStream)) -> DuplexStream {
    let (client, answer) = ask(serve, REQUEST.as_bytes(), 1024).await;
    assert!(answer.starts_with("HTTP/1.1 101 "));
    client
}

async fn handshake(serve: &impl Fn(DuplexStream)) {
    drop(connect(serve).await);
    settle().await;
}

/// Counts one more handshake and one message.
fn beside(runtime: &Runtime, serve: &impl Fn(DuplexStream), client: &mut DuplexStream) {
    runtime.block_on(handshake(serve));
    count("handshake", HANDSHAKES, || {
        runtime.block_on(async {
            for _ in 0..HANDSHAKES {
                handshake(serve).await;
            }
        });
    });
    let mut message = || {
        runtime.block_on(async {
            let mut bytes = [7; 32];
            for _ in 0..MESSAGES {
                client.write_all(&bytes).await.unwrap();
                client.read_exact(&mut bytes).await.unwrap();
            }
        });
    };
    // The buffers of this one connection.
    message();
    count("message", MESSAGES, message);
}

/// Counts what operators call.
fn look(all: &Connections, connections: usize) {
    // As a list may allocate what it holds, it has to be dropped inside.
    count("list", connections, || assert!(all.list().len() > connections));
    let ids: Vec<u64> = all.list().iter().map(tower_upgrade::Connection::id).collect();
    let some: Vec<u64> = ids.iter().step_by(ids.len() / GETS).copied().take(GETS).collect();
    count("get", GETS, || assert!(some.iter().all(|&id| all.get(id).is_some())));
    count("stats", GETS, || assert!((0..GETS).all(|_| all.stats().active > 0)));
}

/// Echoes, and ends when it is told to.
async fn leave(mut io: Upgraded) -> io::Result<()> {
    let mut draining = pin!(io.draining());
    let mut bytes = [0; 64];
    loop {
        tokio::select! {
            () = &mut draining => return io.shutdown().await,
            read = io.read(&mut bytes) => match read? {
                0 => return Ok(()),
                read => io.write_all(&bytes[..read]).await?,
            },
        }
    }
}

async fn echo(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match io.read(&mut bytes).await? {
            0 => return Ok(()),
            read => io.write_all(&bytes[..read]).await?,
        }
    }
}

const REQUEST: &str =
    "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
const HANDSHAKES: usize = 64;
const MESSAGES: usize = 64;
const GETS: usize = 64;
const KEYED: usize = 10_000;
