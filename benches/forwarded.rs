//! The cost of the layer for forwarded requests: hyper alone and hyper with the layer, over a pipe.
//! Prints the ratio of the times, as the median over interleaved pairs.
//!
//! ```sh
//! cargo bench --bench forwarded
//! ```
//!
//! `benches/instructions.sh` has a figure that does not depend on other load of the machine.
#![allow(clippy::print_stdout, reason = "a benchmark talks to its reader")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should stop")]

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, Service, service_fn};
use tower_upgrade::{BoxError, Switch, UpgradeLayer, Upgraded};

const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n";
const OFFER: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nUser-Agent: bench\r\n\
                       Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                       HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
const REQUESTS: u32 = 20_000;
const PAIRS: usize = 41;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inner = service_fn(|_request: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
    });
    let layer = UpgradeLayer::new()
        .on("websocket", |_request: Request<Bytes>| async { Switch::to(|_io: Upgraded| async {}) });
    let bare = |request| runtime.block_on(serve(inner, request));
    let layered = |request| runtime.block_on(serve(layer.layer(inner), request));

    for (name, request) in [("no offer", PLAIN), ("an offer that no handler takes", OFFER)] {
        let mut ratios: Vec<f64> = (0..PAIRS)
            .map(|_| {
                let bare = bare(request);
                layered(request).as_secs_f64() / bare.as_secs_f64()
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!("{name}: {:.3} of bare hyper's time", ratios[PAIRS / 2]);
    }
}

/// Measures how long it takes to answer requests, one after the other on one connection.
async fn serve<S, B>(service: S, request: &[u8]) -> Duration
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let service = TowerToHyperService::new(service);
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades();
    let connection = tokio::spawn(connection);
    let mut answer = vec![0; 1024];
    let begun = Instant::now();
    for _ in 0..REQUESTS {
        client.write_all(request).await.unwrap();
        let read = client.read(&mut answer).await.unwrap();
        assert!(answer[..read].ends_with(b"ok"));
    }
    let elapsed = begun.elapsed();
    drop(client);
    connection.await.unwrap().unwrap();
    elapsed
}
