//! A run that ends with the value of its last call.
//~ the function on a connection cannot return `Result<usize, std::io::Error>`
//~ end the block with `Ok::<(), E>(())`, or drop a value with `.map(drop)`

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncWriteExt;
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

fn main() {
    let _layer = UpgradeLayer::new().on("foo", |_request: Request<Bytes>| async {
        Switch::to(|mut io: Upgraded| async move { io.write(b"hello").await })
    });
}
