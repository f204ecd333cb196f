//! A handler that was narrowed keeps what the handler under it says of itself.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, request};
use tower::Layer;
use tower_upgrade::{Protocol, Rejection, Switch, UpgradeHandler, UpgradeLayer, Upgraded};

use crate::support::*;

/// Says the opposite of all defaults.
#[derive(Clone, Copy)]
struct Picky;

impl UpgradeHandler for Picky {
    fn accepts(&self, head: &request::Parts, _protocol: &Protocol<'_>) -> bool {
        head.headers.contains_key("x-key")
    }

    fn body_limit(&self) -> usize {
        5
    }

    fn is_optional(&self) -> bool {
        true
    }

    fn reads_chunked_body(&self) -> bool {
        true
    }

    async fn upgrade(&self, _request: Request<Bytes>) -> Result<Switch, Rejection> {
        Ok(Switch::to(|io: Upgraded| async { drop(io) }))
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// The handler, and each way to narrow it that changes nothing.
fn layers() -> [(&'static str, UpgradeLayer); 5] {
    [
        ("itself", UpgradeLayer::new().on("foo", Picky)),
        ("when", UpgradeLayer::new().on("foo", Picky.when(|_| true))),
        ("with_max_lifetime", UpgradeLayer::new().on("foo", Picky.with_max_lifetime(HOUR))),
        (
            "with_chunked_body_limit",
            UpgradeLayer::new().on("foo", Picky.with_chunked_body_limit(5)),
        ),
        (
            "all",
            UpgradeLayer::new()
                .on("foo", Picky.with_chunked_body_limit(5).when(|_| true).with_max_lifetime(HOUR)),
        ),
    ]
}

async fn answer(layer: &UpgradeLayer, request: &str) -> Received {
    Wire::serve(layer.layer(inner(&Log::default()))).exchange(request).await
}

#[tokio::test(start_paused = true)]
async fn it_accepts_the_same_requests() {
    for (name, layer) in layers() {
        let received = answer(&layer, &get(FOO)).await;
        assert_eq!(received.text, OK, "{name}");
        let received = answer(&layer, &get(&format!("{FOO}X-Key: 1\r\n"))).await;
        assert_eq!(received.text, switching("foo"), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_reads_the_same_bodies() {
    let known =
        |body: &str| post(&format!("{FOO}X-Key: 1\r\nContent-Length: {}\r\n", body.len()), body);
    let chunked = format!("{FOO}X-Key: 1\r\nTransfer-Encoding: chunked\r\n");
    let chunked = post(&chunked, "5\r\nhello\r\n0\r\n\r\n");
    for (name, layer) in layers() {
        for request in [known("hello"), chunked.clone()] {
            let received = answer(&layer, &request).await;
            assert_eq!(received.text, switching("foo"), "{name}: {request}");
        }
        assert_eq!(answer(&layer, &known("hello!")).await.text, OK, "{name}");
    }
    // Another limit is also one for chunked bodies.
    let layer = UpgradeLayer::new().on("foo", Picky.with_body_limit(6));
    assert_eq!(answer(&layer, &known("hello!")).await.text, switching("foo"));
    assert_eq!(answer(&layer, &chunked).await.text, switching("foo"));
}

#[tokio::test(start_paused = true)]
async fn it_is_as_optional() {
    for (name, layer) in layers() {
        let layer = layer.max_connections(0);
        let received = answer(&layer, &get(&format!("{FOO}X-Key: 1\r\n"))).await;
        assert_eq!(received.text, OK, "{name}");
    }
}
