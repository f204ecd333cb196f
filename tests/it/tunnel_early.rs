//! Upstreams of a tunnel that answer before they have the whole request.

use std::sync::{Arc, Mutex};

use http::request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Layer;
use tower_upgrade::{UpgradeLayer, tunnel::Tunnel};

use crate::support::*;

/// A fuzzer found it: hyper is done with the connection when it has read the 101, and drops the rest of the
/// request. The client's first bytes became headers of that request.
#[tokio::test(start_paused = true)]
async fn a_101_before_the_upstream_has_the_whole_request_is_no_switch() {
    let body = "x".repeat(500);
    for (body, reads) in [("", 0), ("", 20), ("hello", 70), (&body, 300)] {
        let log = Log::default();
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let upstream = Arc::clone(&seen);
        let tunnel = Tunnel::new(move |_head: request::Parts| {
            let seen = Arc::clone(&upstream);
            async move {
                // So little that most of the request waits in a buffer of the tunnel.
                let (ours, mut io) = tokio::io::duplex(8);
                tokio::spawn(async move {
                    let mut bytes = vec![0; reads];
                    io.read_exact(&mut bytes).await.unwrap();
                    // The tunnel may be gone, as it should be.
                    for piece in switching("foo").as_bytes().chunks(8) {
                        io.write_all(piece).await.ok();
                    }
                    io.read_to_end(&mut bytes).await.ok();
                    *seen.lock().unwrap() = bytes;
                });
                Ok::<_, std::io::Error>(ours)
            }
        });
        let failures = log.clone();
        let layer = UpgradeLayer::new()
            .on("foo", tunnel)
            .on_failure(move |error| failures.push(describe(&error)));
        let mut wire = Wire::serve(layer.layer(inner(&log)));
        wire.send(offering(&format!("Content-Length: {}\r\n", body.len()), body)).await;
        wire.send("NP").await;
        wire.receive().await.starts_with("HTTP/1.1 502 Bad Gateway\r\n");
        let seen = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
        assert!(!seen.contains("NP"), "{seen}");
        assert_eq!(layer.connections().active(), 0);
    }
}

/// One that answers with the last byte of it, at once, is in time.
#[tokio::test(start_paused = true)]
async fn a_101_right_behind_the_last_byte_of_the_request_is_a_switch() {
    for buffer in [1, 2, 8, 1000] {
        let log = Log::default();
        let tunnel = Tunnel::new(move |_head: request::Parts| async move {
            let (ours, mut io) = tokio::io::duplex(buffer);
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"hello") {
                    bytes.push(io.read_u8().await.unwrap());
                }
                io.write_all(switching("foo").as_bytes()).await.unwrap();
                let mut echoed = [0; 2];
                io.read_exact(&mut echoed).await.unwrap();
                io.write_all(&echoed).await.unwrap();
            });
            Ok::<_, std::io::Error>(ours)
        });
        let layer = UpgradeLayer::new().on("foo", tunnel);
        let mut wire = Wire::serve(layer.layer(inner(&log)));
        wire.send(offering("Content-Length: 5\r\n", "hello")).await;
        wire.send("NP").await;
        wire.receive().await.is(&(switching("foo") + "NP"));
    }
}
