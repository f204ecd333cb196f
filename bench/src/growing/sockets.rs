//! Idle connections over real sockets, for what the kernel holds of them.

use std::{fs, io};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

use crate::{
    meter::count,
    pipes::{runtime, server},
};

/// Opens the connections, prints what the kernel says of its memory, and ends them.
pub(crate) fn run(connections: usize) {
    let layer =
        UpgradeLayer::new().on("wait", async |_: http::Request<bytes::Bytes>| Switch::to(wait));
    let (all, serve) = (layer.connections(), server(&layer));
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::with_capacity(connections);
    let before = kernel().unwrap();
    count("open", connections, || {
        runtime.block_on(async {
            for _ in 0..connections {
                let (client, accepted) =
                    tokio::join!(TcpStream::connect(address), listener.accept());
                serve(accepted.unwrap().0);
                let mut client = client.unwrap();
                client.write_all(REQUEST).await.unwrap();
                let mut answer = Vec::with_capacity(256);
                while !answer.ends_with(b"\r\n\r\n") {
                    assert!(client.read_buf(&mut answer).await.unwrap() > 0);
                }
                clients.push(client);
            }
        });
    });
    for ((what, before), (_, after)) in before.iter().zip(kernel().unwrap()) {
        println!("{what}\t{connections}\t0\t{}\t0\t0\t0", after - before);
    }
    count("drain", connections, || {
        runtime.block_on(async {
            all.drain();
            all.drained().await;
        });
    });
}

async fn wait(mut io: Upgraded) -> io::Result<()> {
    io.draining().await;
    io.shutdown().await
}

/// Bytes of all sockets of the kernel: buffers, and its objects, where it says so.
fn kernel() -> io::Result<Vec<(&'static str, i64)>> {
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let pages: i64 = tcp.rsplit(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kibibytes = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<i64>().unwrap_or(0)
    };
    Ok(vec![("buffers", 4096 * pages), ("slab", 1024 * kibibytes("Slab:"))])
}

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: wait\r\n\r\n";
