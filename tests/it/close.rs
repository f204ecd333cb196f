//! `Upgraded::close`: the client receives everything, and the place is held until it has.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tower::Layer;
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

use crate::support::*;

/// A handler that says goodbye and closes, and logs when it has.
fn layer(log: &Log) -> UpgradeLayer {
    let log = log.clone();
    UpgradeLayer::new().on("foo", move |_request: Request<Bytes>| {
        let log = log.clone();
        async {
            Switch::to(|mut io: Upgraded| async move {
                io.write_all(b"goodbye").await?;
                let closed = io.close().await;
                log.push("closed");
                closed
            })
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_client_is_waited_for() {
    for (sends, leaves, expected) in [(false, true, 0), (true, true, 1), (true, false, 5)] {
        let log = Log::default();
        let layer = layer(&log);
        let mut wire = Wire::serve(layer.layer(inner(&log)));
        let received = wire.exchange(get(FOO)).await;
        received.ends_with("\r\n\r\ngoodbye").and_ends();
        let start = Instant::now();
        if sends {
            wire.send("bytes that nobody reads").await;
            settle().await;
        }
        assert_eq!((layer.connections().active(), log.has("closed")), (1, false));
        if leaves {
            wire.io.shutdown().await.unwrap();
        }
        layer.connections().drain();
        layer.connections().drained().await;
        assert!(log.has("closed"));
        assert_eq!(start.elapsed().as_secs(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_aborts_a_close_that_waits() {
    let log = Log::default();
    let layer = layer(&log);
    let mut wire = Wire::serve(layer.layer(inner(&log)));
    wire.exchange(get(FOO)).await.and_ends();
    let shutdown = layer.connections().shutdown(Duration::from_secs(2)).await;
    assert_eq!((shutdown.finished, shutdown.aborted), (0, 1));
    assert!(!log.has("closed"));
}

#[tokio::test]
async fn bytes_on_their_way_do_not_reset_the_connection() {
    for _ in 0..20 {
        let log = Log::default();
        let layer = layer(&log);
        let service = hyper_util::service::TowerToHyperService::new(layer.layer(inner(&log)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(hyper_util::rt::TokioIo::new(server), service);
        tokio::spawn(connection.with_upgrades());
        client.write_all(get(FOO).as_bytes()).await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"goodbye") {
            assert_ne!(client.read_buf(&mut received).await.unwrap(), 0);
            // They come before and after the socket would have been closed.
            client.write_all(&[b'x'; 10_000]).await.unwrap();
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            client.write_all(&[b'x'; 10_000]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        drop(client);
        layer.connections().drain();
        layer.connections().drained().await;
    }
}
